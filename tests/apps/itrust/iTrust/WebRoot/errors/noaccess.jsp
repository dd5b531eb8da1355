<%@page language="java" contentType="text/html; charset=ISO-8859-1" pageEncoding="ISO-8859-1" isErrorPage="true"%>
<% session.invalidate(); %>
<!DOCTYPE HTML>
<html>
<head><title>You are not authorized to view this page</title></head>
<body><h1>You are not authorized to view this page</h1><a href="/iTrust">Log back in.</a></body>
</html>
