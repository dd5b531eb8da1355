# MongoDB 8.0 from its makers' own apt repository. The repository's key comes from pillar (mongodb:key_url).
{%- from "mongodb/map.jinja" import mongodb with context %}
mongodb-repository:
  pkgrepo.managed:
    - name: deb [signed-by=/etc/apt/keyrings/mongodb.gpg] {{ mongodb.repository }} {{ grains["oscodename"] }}/mongodb-org/8.0 main
    - file: /etc/apt/sources.list.d/mongodb-org.list
    - key_url: {{ mongodb.key_url }}
    - aptkey: False

mongodb-package:
  pkg.installed:
    - name: mongodb-org
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
    - require:
      - pkg: mongodb-package

mongodb-service:
  service.running:
    - name: mongod
    - enable: True
    - watch:
      - file: mongodb-config
