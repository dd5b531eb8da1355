<% session.invalidate(); response.sendRedirect("/iTrust/login.jsp"); %>
