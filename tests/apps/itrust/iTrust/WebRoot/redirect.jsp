<% response.sendRedirect("/iTrust/auth/forwardUser.jsp"); %>
