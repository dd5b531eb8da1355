# MongoDB 8.0 from its makers' own apt repository; users as in the lab, with Debian's pymongo.
{%- from "mongodb/map.jinja" import mongodb with context %}
{%- set tool = "/usr/local/lib/sluice/create_mongodb_users.py" %}

mongodb-key:
  file.managed:
    - name: /etc/apt/keyrings/mongodb.asc
    - source: {{ mongodb.key_url }}
    - source_hash: {{ mongodb.key_sha256 | json }}
    - makedirs: True
    - mode: '0644'

mongodb-repository:
  pkgrepo.managed:
    - name: deb [signed-by=/etc/apt/keyrings/mongodb.asc] {{ mongodb.repository }} {{ grains["oscodename"] }}/mongodb-org/8.0 main
    - file: /etc/apt/sources.list.d/mongodb-org.list
    - aptkey: False
    - require:
      - file: mongodb-key

mongodb-package:
  pkg.installed:
    - pkgs: [mongodb-org, python3-pymongo]
    - require:
      - pkgrepo: mongodb-repository

mongodb-config:
  file.serialize:
    - name: /etc/mongod.conf
    - serializer: yaml
    - dataset:
        storage: {dbPath: /var/lib/mongodb}
        systemLog: {destination: file, logAppend: true, path: /var/log/mongodb/mongod.log}
        net: {port: {{ mongodb.port }}, bindIp: {{ mongodb.bind }}}
        security: {authorization: enabled}
    - mode: '0644'
    - require:
      - pkg: mongodb-package

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
      - pkg: mongodb-package

mongodb-users-tool:
  file.managed:
    - name: {{ tool }}
    - source: salt://mongodb/files/create_users.py
    - makedirs: True
    - mode: '0755'

# Users are made while the server asks for no log-in: on loopback, before it serves anyone.
mongodb-unit:
  file.managed:
    - name: /etc/systemd/system/mongod.service.d/sluice.conf
    - makedirs: True
    - mode: '0644'
    - contents: |
        [Unit]
        StartLimitIntervalSec=0
        [Service]
        ExecStartPre=/usr/bin/python3 {{ tool }} /etc/sluice/mongodb-users.json /var/lib/mongodb/users.sha256 -- /usr/bin/mongod --dbpath /var/lib/mongodb --bind_ip 127.0.0.1 --port
        Restart=on-failure
        RestartSec=1

mongodb-service:
  service.running:
    - name: mongod
    - enable: True
    - watch:
      - file: mongodb-config
      - file: mongodb-users-file
      - file: mongodb-users-tool
      - file: mongodb-unit
