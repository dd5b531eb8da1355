# The lab's stand-in: the REST surface of a Jenkins that really runs the job.
{%- from "jenkins/map.jinja" import jenkins with context %}
{%- set home = "/opt/sluice/jenkins" %}
{%- set admin = jenkins.admin %}


include:
  - jenkins.machine
{%- for name in ["stand_in", "jobs", "builds"] %}

jenkins-stand-in-{{ name }}:
  file.managed:
    - name: {{ home }}/{{ name }}.py
    - source: salt://jenkins/stand_in/{{ name }}.py
    - makedirs: True
    - mode: '0644'
    - watch_in:
      - service: jenkins-service
{%- endfor %}

jenkins-stand-in-settings:
  file.serialize:
    - name: /etc/sluice/jenkins/stand_in.json
    - dataset: {{ {"home": "/var/lib/jenkins", "bind": jenkins.bind, "port": jenkins.port, "user": admin.user, "token": admin.token, "quiet_seconds": 1.0} | json }}
    - serializer: json
    - user: jenkins
    - group: jenkins
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0400'
    - show_changes: False
    - require:
      - user: jenkins-user

jenkins-unit:
  file.managed:
    - name: /etc/systemd/system/jenkins.service
    - source: salt://jenkins/files/jenkins.service
    - template: jinja
    - mode: '0644'
    - context:
        command: /usr/bin/python3 {{ home }}/stand_in.py /etc/sluice/jenkins/stand_in.json

jenkins-service:
  service.running:
    - name: jenkins
    - enable: True
    - require:
      - pkg: jenkins-tools
      - file: jenkins-artifacts
      - user: jenkins-user
    - watch:
      - file: jenkins-unit
      - file: jenkins-stand-in-settings
