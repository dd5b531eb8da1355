# The SQL database that all hosts of an application share, with users of least rights and a daily backup.
{%- from "mariadb/map.jinja" import mariadb, clients, rights, settings with context %}
{%- from "secrets.jinja" import required %}
{%- set secrets = {} %}
{%- for name, user in mariadb.users | dictsort %}{% do secrets.update({"mariadb:users:" ~ name ~ ":password": user.password}) %}{% endfor %}
{{ required("mariadb", secrets) }}

# Before the package: it makes the data directory, which takes one of these for ever.
mariadb-config:
  file.managed:
    - name: /etc/mysql/mariadb.conf.d/60-sluice.cnf
    - source: salt://mariadb/files/sluice.cnf
    - template: jinja
    - context: {{ {"mariadb": mariadb} | json }}
    - makedirs: True
    - mode: '0644'

mariadb-package:
  pkg.installed:
    - name: mariadb-server
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
    - install_recommends: False
    - require:
      - file: mariadb-config

mariadb-service:
  service.running:
    - name: mariadb
    - enable: True
    - require:
      - pkg: mariadb-package

mariadb-in-force:
  mariadb_server.in_force:
    - name: mariadb
    - settings: {{ settings | json }}
    - require:
      - service: mariadb-service

mariadb-access:
  mariadb_server.access:
    - name: {{ mariadb.database }}
    - users: mariadb:users
    - rights: {{ rights | json }}
    - clients: {{ clients | json }}
    - sessions: {{ mariadb.sessions }}
    - require:
      - mariadb_server: mariadb-in-force

mariadb-backup-directory:
  file.directory:
    - name: {{ mariadb.backup.directory }}
    - makedirs: True
    - mode: '0700'

mariadb-backup-tool:
  file.managed:
    - name: /usr/local/lib/sluice/backup-mariadb
    - source: salt://mariadb/files/backup
    - makedirs: True
    - mode: '0755'
{%- for unit in ["service", "timer"] %}

mariadb-backup-{{ unit }}:
  file.managed:
    - name: /etc/systemd/system/sluice-mariadb-backup.{{ unit }}
    - source: salt://mariadb/files/backup.{{ unit }}
    - template: jinja
    - context: {{ {"mariadb": mariadb} | json }}
    - mode: '0644'
    - require:
      - file: mariadb-backup-tool
      - file: mariadb-backup-directory
{%- endfor %}

mariadb-backup-scheduled:
  service.running:
    - name: sluice-mariadb-backup.timer
    - enable: True
    - watch:
      - file: mariadb-backup-timer
