# One Redis server: users with least rights, and an append-only file so that an alert outlives a restart.
{%- from "redis/map.jinja" import redis with context %}
{%- from "secrets.jinja" import required %}
{%- set secrets = {} %}
{%- for name, user in redis.users | dictsort %}{% do secrets.update({"redis:users:" ~ name ~ ":password": user.password}) %}{% endfor %}
{{ required("redis", secrets) }}

redis-package:
  pkg.installed:
    - name: redis-server
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
    - install_recommends: False

redis-config:
  file.managed:
    - name: /etc/redis/redis.conf
    - source: salt://redis/files/redis.conf
    - template: jinja
    - context: {{ {"redis": {"bind": redis.bind or redis.servers.get(grains.id, "") ~ " 127.0.0.1", "port": redis.port, "maxmemory": redis.maxmemory}} | json }}
    - user: redis
    - group: redis
    - mode: '0640'
    - require:
      - pkg: redis-package

redis-users:
  file.managed:
    - name: /etc/redis/users.acl
    - source: salt://redis/files/users.acl
    - template: jinja
    - context: {{ {"users": redis.users, "rules": redis.rules} | json }}
    - user: redis
    - group: redis
    - mode: '0640'
    - show_changes: False
    - require:
      - pkg: redis-package

redis-limits:
  file.managed:
    - name: /etc/systemd/system/redis-server.service.d/sluice.conf
    - makedirs: True
    - contents: |
        [Service]
        Restart=always
        RestartSec=1
        NoNewPrivileges=true
        ProtectHome=true
        ProtectSystem=strict
        ReadWritePaths=/var/lib/redis /var/log/redis /run/redis

redis-service:
  service.running:
    - name: redis-server
    - enable: True
    - watch:
      - file: redis-config
      - file: redis-users
      - file: redis-limits
