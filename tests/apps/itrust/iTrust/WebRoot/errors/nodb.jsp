<%@page language="java" contentType="text/html; charset=ISO-8859-1" pageEncoding="ISO-8859-1" isErrorPage="true"%>
<% session.invalidate(); %>
<!DOCTYPE HTML>
<html>
<head><title>iTrust is Down</title></head>
<body><h1>iTrust is Down</h1><a href="/iTrust">Log back in.</a></body>
</html>
