<%@page language="java" contentType="text/html; charset=ISO-8859-1" pageEncoding="ISO-8859-1" isErrorPage="true"%>

<!DOCTYPE HTML>
<html>
<head><title>Page not found</title></head>
<body><h1>Page not found</h1><a href="/iTrust">Log back in.</a></body>
</html>
