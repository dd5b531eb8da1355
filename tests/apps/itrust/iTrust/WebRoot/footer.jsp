<p id="footer">iTrust <span id="version"><%= application.getAttribute("version") %></span></p>
</body>
</html>
