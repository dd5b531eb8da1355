# checkbox.io: built from git beside what runs, switched when the build is whole, behind nginx.
{%- from "checkbox/map.jinja" import checkbox, version with context %}
{%- set home = "/srv/checkbox" %}
{%- set release = home ~ "/releases/" ~ version %}
{%- set site = home ~ "/current/" ~ checkbox.subdir %}

include:
  - nodejs
  - nginx

checkbox-user:
  user.present:
    - name: checkbox
    - system: True
    - home: /var/lib/checkbox
    - shell: /bin/bash

checkbox-directory:
  file.directory:
    - names:
      - {{ home }}
      - {{ home }}/releases
    - user: checkbox
    - require:
      - user: checkbox-user

{%- if not version %}
checkbox-version:
  test.nop:
    - name: no version of checkbox is released to this track; nothing is installed
{%- elif not version | regex_match("([A-Za-z0-9][A-Za-z0-9._-]{0,63})$") %}
checkbox-version:
  test.fail_without_changes:
    - name: {{ ("version " ~ version ~ " is not the name of a git tag or branch") | json }}
{%- else %}

checkbox-source:
  git.latest:
    - name: {{ checkbox.source | json }}
    - rev: {{ version | json }}
    - target: {{ release }}
    - user: checkbox
    - force_reset: True
    - require:
      - file: checkbox-directory

# npm ci throws the old modules away first: guarded by the lock file they were made from.
checkbox-modules:
  cmd.run:
    - name: >-
        npm ci --omit=dev --no-audit --no-fund --loglevel=error &&
        sha256sum package-lock.json > node_modules/.built-from
    - unless: sha256sum --status --check node_modules/.built-from
    - cwd: {{ release }}/{{ checkbox.subdir }}
    - runas: checkbox
    - timeout: 300
    - require:
      - git: checkbox-source
      - pkg: nodejs-package

checkbox-current:
  file.symlink:
    - name: {{ home }}/current
    - target: {{ release }}
    - require:
      - cmd: checkbox-modules

checkbox-environment:
  file.managed:
    - name: /etc/sluice/checkbox.env
    - source: salt://checkbox/files/environment
    - template: jinja
    - context: {{ {"env": checkbox.env} | json }}
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0600'
    - show_changes: False

checkbox-unit:
  file.managed:
    - name: /etc/systemd/system/checkbox.service
    - source: salt://checkbox/files/checkbox.service
    - template: jinja
    - context: {{ {"site": site} | json }}

checkbox-service:
  service.running:
    - name: checkbox
    - enable: True
    - watch:
      - file: checkbox-current
      - file: checkbox-environment
      - file: checkbox-unit
      - git: checkbox-source

checkbox-nginx:
  file.managed:
    - name: /etc/nginx/sites-enabled/checkbox
    - source: salt://checkbox/files/nginx-site
    - template: jinja
    - context: {{ {"root": home ~ "/current/" ~ checkbox.public, "paths": checkbox.proxied_paths, "port": checkbox.env.APP_PORT} | json }}
    - require:
      - pkg: nginx-package
      - file: checkbox-current
    - watch_in:
      - service: nginx-service

checkbox-healthy:
  http_ready.answering:
    - name: http://127.0.0.1{{ checkbox.health.path }}
    - timeout_seconds: {{ checkbox.health.timeout_seconds }}
    - hint: See `journalctl -u checkbox` on this host; is its database up?
    - require:
      - service: checkbox-service
      - service: nginx-service
      - file: checkbox-nginx

checkbox-old-releases:
  release_dir.kept:
    - name: {{ home }}/releases
    - current: {{ home }}/current
    - keep: {{ checkbox.keep_releases }}
    - require:
      - http_ready: checkbox-healthy
{%- endif %}
