<%@include file="/header.jsp" %>
<%
String name = request.getParameter("j_username"), word = request.getParameter("j_password");
String address = request.getRemoteAddr();
if (!(Boolean) application.getAttribute("healthy")) {
	throw new IllegalStateException("this version is not well");
}
if (request.getParameter("loginError") != null) {
	Login.failed(address);
	response.sendRedirect("/iTrust/login.jsp");
	return;
}
int failures = Login.failures(address);
if (name != null && word != null && !Login.isLockedOut(failures)) {
	String sent = Login.number(name) + "&j_password=" + Login.hash(word, Login.salt(name));
	response.sendRedirect("/iTrust/j_security_check?j_username=" + sent);
	return;
}
if (failures != 0) { %>
<p class="iTrustError">Failed login attempts: <%= failures %></p>
<% } %>
<form method="post" action="/iTrust/login.jsp">
MID <input type="text" maxlength="10" name="j_username">
Password <input type="password" maxlength="20" name="j_password">
<input type="submit" value="Login">
<a href="/iTrust/util/resetPassword.jsp">Reset Password</a>
</form>
<%@include file="/footer.jsp" %>
