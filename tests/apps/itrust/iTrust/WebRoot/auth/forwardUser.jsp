<%@include file="/header.jsp" %>
<%
for (String role : new String[] {"hcp", "admin", "patient"}) {
	if (request.isUserInRole(role)) {
		response.sendRedirect(role + "/home.jsp");
		return;
	}
}
%>
<%@include file="/footer.jsp" %>
