<%@page contentType="text/css" %>
html { height: 100%; }
