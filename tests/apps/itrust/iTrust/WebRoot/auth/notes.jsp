<%@include file="/header.jsp" %>
<%
if ("POST".equals(request.getMethod())) {
	String text = Notes.checked(request.getParameter("text"));
	if (text == null) {
		response.sendError(HttpServletResponse.SC_BAD_REQUEST);
		return;
	}
	Notes.write(Login.number(user.getName()), text);
%><p id="written"><%= text %></p>
<%
} else {
	String start = Notes.checked(request.getParameter("start"));
%><ul>
<%	if (start != null) { for (String text : Notes.beginningWith(start)) { %><li><%= text %></li>
<%	} } %></ul>
<% } %>
<form method="post"><input name="text" maxlength="200"><input type="submit" value="Write"></form>
<%@include file="/footer.jsp" %>
