# checkbox.io: built from git beside what runs, switched when the build is whole, behind nginx.
{%- from "checkbox/map.jinja" import checkbox, env, flags, version with context %}
{%- from "secrets.jinja" import required %}
{%- set home = "/srv/checkbox" %}
{%- set release = home ~ "/releases/" ~ version %}
{%- set current = home ~ "/current" %}

include:
  - nodejs
  - nginx
{#- A variable of the environment that should be empty is left out; one that stands there must have a value. #}
{%- set secrets = {"checkbox:env:MONGO_PASSWORD": checkbox.env.MONGO_PASSWORD | default("")} %}
{%- for key, value in checkbox.env | dictsort %}{% do secrets.update({"checkbox:env:" ~ key: value | string if value is not none else ""}) %}{% endfor %}
{%- if flags and not env.REDIS_PASSWORD %}{% do secrets.update({"redis:users:reader:password": ""}) %}{% endif %}
{{ required("checkbox", secrets) }}

checkbox-git:
  pkg.installed:
    - name: git
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}

checkbox-user:
  user.present:
    - name: checkbox
    - system: True
    - home: /var/lib/checkbox
    - shell: /bin/bash

checkbox-directory:
  file.directory:
    - name: {{ home }}/releases
    - makedirs: True

{%- if version is none or version == "" %}
checkbox-version:
  test.nop:
    - name: no version of checkbox is released to the track {{ checkbox.track }}
{%- elif version is not string %}
checkbox-version:
  refuse.because:
    - name: {{ ("checkbox: the version " ~ version ~ " in pillar is no text; put it in quotes") | json }}
{%- elif not version | regex_match("([A-Za-z0-9][A-Za-z0-9._-]{0,63})\\Z") %}
checkbox-version:
  refuse.because:
    - name: {{ ("checkbox: the version " ~ version[:80] ~ " is not the name of a git tag or branch") | json }}
{%- else %}

checkbox-release:
  release_dir.built:
    - name: {{ release }}
    - source: {{ checkbox.source | json }}
    - version: {{ version | json }}
    - subdir: {{ checkbox.subdir | json }}
    - command: [npm, ci, --omit=dev, --no-audit, --no-fund, --loglevel=error]
    - user: checkbox
    - timeout_seconds: {{ checkbox.build_timeout_seconds }}
    - require:
      - pkg: checkbox-git
      - pkg: nodejs-package
      - user: checkbox-user
      - file: checkbox-directory

checkbox-current:
  file.symlink:
    - name: {{ current }}
    - target: {{ release }}
    - atomic: True
    - require:
      - release_dir: checkbox-release

checkbox-environment:
  file.managed:
    - name: /etc/sluice/checkbox.env
    - source: salt://checkbox/files/environment
    - template: jinja
    - context: {{ {"env": env} | json }}
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0600'
    - show_changes: False
    - require:
      - release_dir: checkbox-release

{%- if flags.get("REDIS_CA") == "/etc/sluice/checkbox-redis-ca.pem" %}
checkbox-redis-ca:
  file.managed:
    - name: {{ flags.REDIS_CA }}
    - contents_pillar: redis:tls:ca
    - makedirs: True
    - dir_mode: '0755'
    - mode: '0644'
    - watch_in:
      - service: checkbox-service
{%- endif %}

checkbox-unit:
  file.managed:
    - name: /etc/systemd/system/checkbox.service
    - source: salt://checkbox/files/checkbox.service
    - template: jinja
    - context: {{ {"site": current ~ "/" ~ checkbox.subdir} | json }}
    - mode: '0644'
    - require:
      - release_dir: checkbox-release

checkbox-service:
  service.running:
    - name: checkbox
    - enable: True
    - watch:
      - release_dir: checkbox-release
      - file: checkbox-current
      - file: checkbox-environment
      - file: checkbox-unit

checkbox-nginx:
  file.managed:
    - name: /etc/nginx/sites-enabled/checkbox
    - source: salt://checkbox/files/nginx-site
    - template: jinja
    - context: {{ {"root": current ~ "/" ~ checkbox.public, "paths": checkbox.proxied_paths, "port": checkbox.env.APP_PORT, "version": version} | json }}
    - mode: '0644'
    - require:
      - pkg: nginx-package
      - file: checkbox-current
    - watch_in:
      - service: nginx-service

checkbox-healthy:
  http_ready.answering:
    - name: http://127.0.0.1{{ checkbox.health.path }}
    - timeout_seconds: {{ checkbox.health.timeout_seconds }}
    - hint: See `journalctl -u checkbox` on this host; does its database answer?
    - require:
      - service: checkbox-service
      - service: nginx-service
      - file: checkbox-nginx

checkbox-old-releases:
  release_dir.kept:
    - name: {{ home }}/releases
    - in_use: {{ release }}
    - keep: {{ checkbox.keep_releases }}
    - require:
      - http_ready: checkbox-healthy
{%- endif %}
