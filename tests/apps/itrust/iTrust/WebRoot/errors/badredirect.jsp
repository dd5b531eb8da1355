<%@page language="java" contentType="text/html; charset=ISO-8859-1" pageEncoding="ISO-8859-1" isErrorPage="true"%>
<% session.invalidate(); %>
<!DOCTYPE HTML>
<html>
<head><title>Invalid direct reference to form login page</title></head>
<body><h1>Invalid direct reference to form login page</h1><a href="/iTrust">Log back in.</a></body>
</html>
