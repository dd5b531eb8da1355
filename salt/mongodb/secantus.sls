# The lab's MongoDB-compatible server.
{%- from "mongodb/map.jinja" import mongodb with context %}
{%- set home = "/opt/sluice/secantus" %}

mongodb-requirements:
  file.managed:
    - name: {{ home }}/requirements.lock
    - source: salt://mongodb/requirements.lock
    - makedirs: True

mongodb-environment:
  cmd.run:
    - name: >-
        python3 -m venv {{ home }}/venv &&
        {{ home }}/venv/bin/pip install --quiet --require-hashes -r {{ home }}/requirements.lock &&
        sha256sum {{ home }}/requirements.lock > {{ home }}/installed
    - unless: sha256sum --status --check {{ home }}/installed
    - require:
      - file: mongodb-requirements

mongodb-user:
  user.present:
    - name: mongodb
    - system: True
    - home: /var/lib/mongodb
    - shell: /usr/sbin/nologin

mongodb-users-file:
  file.serialize:
    - name: /etc/sluice/mongodb-users.json
    - dataset: {{ mongodb.users | json }}
    - serializer: json
    - makedirs: True
    - user: mongodb
    - mode: '0600'
    - dir_mode: '0755'
    - show_changes: False
    - require:
      - user: mongodb-user

mongodb-users-tool:
  file.managed:
    - name: {{ home }}/create_users.py
    - source: salt://mongodb/files/create_users.py
    - mode: '0755'

mongodb-unit:
  file.managed:
    - name: /etc/systemd/system/secantus.service
    - source: salt://mongodb/files/secantus.service
    - template: jinja
    - mode: '0644'
    - context: {{ {"home": home, "bind": mongodb.bind, "port": mongodb.port} | json }}

mongodb-service:
  service.running:
    - name: secantus
    - enable: True
    - require:
      - cmd: mongodb-environment
    - watch:
      - file: mongodb-unit
      - file: mongodb-users-file
      - file: mongodb-users-tool
