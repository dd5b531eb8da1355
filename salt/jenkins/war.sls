# Jenkins from a WAR, in the version whose sha256 pillar tells.
{%- from "jenkins/map.jinja" import jenkins with context %}

include:
  - jenkins.machine
  - jenkins.server

jenkins-war:
  file.managed:
    - name: /opt/sluice/jenkins/jenkins.war
    - source: {{ jenkins.war_url | json }}
    - source_hash: {{ jenkins.war_sha256 | json }}
    - makedirs: True
    - mode: '0644'
    - watch_in:
      - service: jenkins-service

jenkins-unit:
  file.managed:
    - name: /etc/systemd/system/jenkins.service
    - source: salt://jenkins/files/jenkins.service
    - template: jinja
    - mode: '0644'
    - context:
        command: /usr/bin/java -Djava.awt.headless=true -Djenkins.install.runSetupWizard=false {{ jenkins.java_options }} -jar /opt/sluice/jenkins/jenkins.war --httpListenAddress={{ jenkins.bind }} --httpPort={{ jenkins.port }}
    - watch_in:
      - service: jenkins-service
