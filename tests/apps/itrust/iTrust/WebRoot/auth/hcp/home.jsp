<%@include file="/header.jsp" %>
<h1>Home</h1>
<p><a href="/iTrust/auth/notes.jsp">Notes</a></p>
<%@include file="/footer.jsp" %>
