<%@include file="/header.jsp" %>
<h1>Database</h1>
<% for (String table : Database.texts("SHOW TABLES")) { %>
<h2><%= table %></h2>
<% for (String row : Database.texts("SELECT * FROM `" + table.replace("`", "") + "`")) { %><%= row %><br>
<% } } %>
<%@include file="/footer.jsp" %>
