# What every provider needs: the tools of a build, the user that builds, and where it publishes.

jenkins-tools:
  pkg.installed:
    - pkgs: [default-jdk-headless, maven, git, python3]
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
    - install_recommends: False

jenkins-user:
  user.present:
    - name: jenkins
    - system: True
    - home: /var/lib/jenkins
    - shell: /bin/bash

jenkins-artifacts:
  file.directory:
    - name: /srv/artifacts
    - user: jenkins
    - group: jenkins
    - mode: '0755'
    - require:
      - user: jenkins-user
