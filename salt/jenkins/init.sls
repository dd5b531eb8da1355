# Jenkins from the provider that pillar names, its job, and what the job has built for hosts to fetch.
{%- from "jenkins/map.jinja" import jenkins with context %}
{%- from "secrets.jinja" import required %}
{%- set admin, job = jenkins.admin, jenkins.job %}
{%- set secrets = {"jenkins:admin:token": admin.token, "jenkins:job:trigger_token": job.trigger_token} %}
{%- if jenkins.provider != "stand_in" %}{% do secrets.update({"jenkins:admin:password": admin.password}) %}{% endif %}
{%- if jenkins.report.url %}{% do secrets.update({"jenkins:report:password": jenkins.report.password}) %}{% endif %}
{{ required("jenkins", secrets) }}
{%- set bad = [] %}
{%- if jenkins.provider not in ["apt", "war", "stand_in"] %}
{%- do bad.append("jenkins:provider is " ~ jenkins.provider ~ "; want apt, war or stand_in (lab)") %}
{%- elif jenkins.provider == "stand_in" and not jenkins.lab %}
{%- do bad.append("jenkins:provider stand_in is for the lab and is no Jenkins. Want apt or war; a lab says so with jenkins:lab true.") %}
{%- elif jenkins.provider == "apt" and not (jenkins.key_sha256 and jenkins.version) %}
{%- do bad.append("pillar jenkins:key_sha256 or jenkins:version is empty; put the sha256 of " ~ jenkins.key_url ~ " there, taken from a second source, and the LTS version that runs on Java 17") %}
{%- elif jenkins.provider == "war" and not (jenkins.war_url and jenkins.war_sha256) %}
{%- do bad.append("pillar jenkins:war_url or jenkins:war_sha256 is empty; want the URL of a jenkins.war and its sha256 from a second source") %}
{%- endif %}
{%- if jenkins.provider in ["apt", "war"] and admin.token and not admin.token | regex_match("(11[0-9a-f]{32})\\Z") %}
{%- do bad.append("pillar jenkins:admin:token is no API token; want 11 and then 32 hexadecimal digits: echo 11$(openssl rand -hex 16)") %}
{%- endif %}
{%- if not (job.repository and job.artifacts_url) %}
{%- do bad.append("pillar jenkins:job:repository or jenkins:job:artifacts_url is empty; see docs/reference/jenkins.md") %}
{%- endif %}
{%- if bad %}

jenkins-pillar:
  refuse.because:
    - name: {{ bad | join("; ") | json }}
    - order: first
    - failhard: True
{%- else %}

include:
  - nginx
  - jenkins.machine
  - jenkins.job

jenkins-artifacts-site:
  file.managed:
    - name: /etc/nginx/sites-enabled/artifacts
    - source: salt://jenkins/files/nginx-site
    - template: jinja
    - context: {{ {"port": jenkins.artifacts_port} | json }}
    - mode: '0644'
    - require:
      - pkg: nginx-package
      - file: jenkins-artifacts
    - watch_in:
      - service: nginx-service
{%- if jenkins.maven_settings %}

jenkins-maven-settings:
  file.managed:
    - name: /var/lib/jenkins/.m2/settings.xml
    - contents: {{ jenkins.maven_settings | json }}
    - makedirs: True
    - user: jenkins
    - group: jenkins
    - mode: '0600'
    - show_changes: False
    - require:
      - user: jenkins-user
{%- endif %}
{%- endif %}
