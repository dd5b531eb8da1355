<%@include file="/header.jsp" %>
<h1>Reset Password</h1>
<p>Ask an administrator.</p>
<%@include file="/footer.jsp" %>
