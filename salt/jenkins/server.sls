# What a real Jenkins has, whichever way it came: its user and settings, made by a script at each start.
{%- from "jenkins/map.jinja" import jenkins with context %}

include:
  - jenkins.machine

jenkins-admin-file:
  file.serialize:
    - name: /etc/sluice/jenkins/admin.json
    - dataset: {{ dict(jenkins.admin, anonymous_read=jenkins.anonymous_read) | json }}
    - serializer: json
    - user: jenkins
    - group: jenkins
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0400'
    - show_changes: False
    - require:
      - user: jenkins-user

jenkins-init-script:
  file.managed:
    - name: /var/lib/jenkins/init.groovy.d/sluice.groovy
    - source: salt://jenkins/files/init.groovy
    - user: jenkins
    - group: jenkins
    - makedirs: True
    - mode: '0644'
    - require:
      - user: jenkins-user

jenkins-service:
  service.running:
    - name: jenkins
    - enable: True
    - require:
      - pkg: jenkins-tools
      - file: jenkins-artifacts
    - watch:
      - file: jenkins-admin-file
      - file: jenkins-init-script
