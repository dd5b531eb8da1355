<%@page language="java" contentType="text/html; charset=ISO-8859-1" pageEncoding="ISO-8859-1"%>
<%@page import="lab.itrust.Database,lab.itrust.Login,lab.itrust.Notes"%>
<%
if (!Database.isThere()) {
	response.sendError(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
	return;
}
java.security.Principal user = request.getUserPrincipal();
if (user != null && session.getAttribute("loggedInMID") == null) {
	session.setAttribute("loggedInMID", Login.number(user.getName()));
	Login.succeeded(request.getRemoteAddr());
}
%>
<!DOCTYPE HTML>
<html>
<head><title>iTrust</title><link href="/iTrust/css.jsp" type="text/css" rel="stylesheet"></head>
<body>
<% if (user != null) { %>
<p class="welcome">Welcome, <%= Login.name(user.getName()) %> (<span id="mid"><%= user.getName() %></span>)
<a href="/iTrust/logout.jsp">Logout</a></p>
<% } %>
