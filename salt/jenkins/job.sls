# The job itrust: its script and settings on disk, its definition in Jenkins, built once when that changed.
{%- from "jenkins/map.jinja" import jenkins with context %}
{%- set job, own = jenkins.job, "/var/lib/sluice/jenkins" %}
{%- set script, settings = "/usr/local/lib/sluice/build-webapp", "/etc/sluice/jenkins/itrust.json" %}
{%- set told = {"service": "itrust", "name": "iTrust.war", "artifacts": "/srv/artifacts", "keep": job.keep_artifacts, "report": jenkins.report} %}
{%- for key in ["repository", "branch", "subdir", "prepare", "build", "environment", "timeout_seconds", "war", "sql", "manifest", "artifacts_url"] %}{% do told.update({key: job[key]}) %}{% endfor %}
{%- set host = {"0.0.0.0": "127.0.0.1"}.get(jenkins.bind, jenkins.bind) %}
{%- set server = [{"url": "http://" ~ host ~ ":" ~ jenkins.port}, {"user": jenkins.admin.user}, {"token_file": own ~ "/token"}] %}

include:
  - jenkins.machine
  - jenkins.{{ jenkins.provider }}

jenkins-build-script:
  file.managed:
    - name: {{ script }}
    - source: salt://jenkins/files/build_webapp.py
    - makedirs: True
    - mode: '0755'

# The password of the reports is in it: the jobs' user reads it, and nobody else.
jenkins-build-settings:
  file.serialize:
    - name: {{ settings }}
    - dataset: {{ told | json }}
    - serializer: json
    - user: jenkins
    - group: jenkins
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0400'
    - show_changes: False
    - require:
      - user: jenkins-user

jenkins-token:
  file.managed:
    - name: {{ own }}/token
    - contents_pillar: jenkins:admin:token
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0400'
    - show_changes: False

jenkins-job-definition:
  file.managed:
    - name: {{ own }}/itrust.xml
    - source: salt://jenkins/files/jobs/itrust.xml
    - template: jinja
    - context: {{ {"service": "itrust", "script": "/usr/bin/python3 " ~ script, "settings": settings, "trigger_token": job.trigger_token, "keep_builds": jenkins.keep_builds, "junit": jenkins.junit} | json }}
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0400'
    - show_changes: False

jenkins-ready:
  http_ready.answering:
    - name: http://{{ host }}:{{ jenkins.port }}/{{ "" if jenkins.anonymous_read else "login" }}
    - timeout_seconds: 180
    - hint: See `journalctl -u jenkins` on this host.
    - require:
      - service: jenkins-service

jenkins-job:
  jenkins_job.present:
    - name: itrust
    - config: {{ own }}/itrust.xml
    - {{ server[0] | json }}
    - {{ server[1] | json }}
    - {{ server[2] | json }}
    - require:
      - http_ready: jenkins-ready
      - file: jenkins-token
      - file: jenkins-job-definition
{%- if jenkins.verify_job %}

jenkins-job-built:
  jenkins_job.built:
    - name: itrust
    - marker: {{ own }}/itrust.built
    - timeout_seconds: {{ job.timeout_seconds + 60 }}
    - {{ server[0] | json }}
    - {{ server[1] | json }}
    - {{ server[2] | json }}
    - require:
      - jenkins_job: jenkins-job
      - file: jenkins-build-script
      - file: jenkins-build-settings
      - file: jenkins-artifacts
      - pkg: jenkins-tools
{%- endif %}
