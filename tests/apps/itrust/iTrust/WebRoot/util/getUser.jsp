<%@include file="/header.jsp" %>
<p><%= user.getName() %></p>
<%@include file="/footer.jsp" %>
