# Tomcat of Debian, what turns javax.* into jakarta.*, and what speaks with the database. It is configured, started and stopped by the state of
# its application, as a change of it is an update of the host: see salt/itrust.
tomcat-package:
  pkg.installed:
    - pkgs:
      - tomcat10
      - tomcat-jakartaee-migration
      - libmariadb-java
      - mariadb-client
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
    - install_recommends: False

# The driver of connections that Tomcat itself makes: for log-ins and sessions.
tomcat-database-driver:
  file.symlink:
    - name: /var/lib/tomcat10/lib/mariadb-java-client.jar
    - target: /usr/share/java/mariadb-java-client.jar
    - require:
      - pkg: tomcat-package

# Where its Host looks for applications: always empty, so that it serves what is declared and nothing else.
tomcat-no-applications:
  file.directory:
    - name: /var/lib/tomcat10/none
    - mode: '0755'
    - require:
      - pkg: tomcat-package
