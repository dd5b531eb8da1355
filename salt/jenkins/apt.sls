# Jenkins from its makers' own apt repository, in one version.
{%- from "jenkins/map.jinja" import jenkins with context %}

include:
  - jenkins.machine
  - jenkins.server

jenkins-key:
  file.managed:
    - name: /etc/apt/keyrings/jenkins.asc
    - source: {{ jenkins.key_url }}
    - source_hash: {{ jenkins.key_sha256 | json }}
    - makedirs: True
    - mode: '0644'

jenkins-repository:
  pkgrepo.managed:
    - name: deb [signed-by=/etc/apt/keyrings/jenkins.asc] {{ jenkins.repository }} binary/
    - file: /etc/apt/sources.list.d/jenkins.list
    - aptkey: False
    - require:
      - file: jenkins-key

# Before the package, which starts Jenkins as it is installed.
jenkins-unit:
  file.managed:
    - name: /etc/systemd/system/jenkins.service.d/sluice.conf
    - makedirs: True
    - mode: '0644'
    - contents: |
        [Service]
        Environment="JENKINS_LISTEN_ADDRESS={{ jenkins.bind }}"
        Environment="JENKINS_PORT={{ jenkins.port }}"
        Environment="JAVA_OPTS=-Djava.awt.headless=true -Djenkins.install.runSetupWizard=false {{ jenkins.java_options }}"
        UMask=0027
    - watch_in:
      - service: jenkins-service

jenkins-package:
  pkg.installed:
    - name: jenkins
    - version: {{ jenkins.version | string | json }}
    - hold: True
    - require:
      - pkg: jenkins-tools
      - pkgrepo: jenkins-repository
      - file: jenkins-unit
      - file: jenkins-init-script
      - file: jenkins-admin-file
    - require_in:
      - service: jenkins-service
