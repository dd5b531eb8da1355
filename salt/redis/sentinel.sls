# redis:ha sentinel: three or more Sentinels, one beside each server, promote a replica by themselves.
{%- from "redis/map.jinja" import files, pems, place, settings with context %}
{%- set unit_file = "/etc/systemd/system/" ~ files.sentinel.unit ~ ".service.d/sluice.conf" %}
{%- set sentinel = dict(place, conf=files.etc ~ "/sentinel.conf", aclfile=files.etc ~ "/sentinel-users.acl", log=files.sentinel.log, unit_file=unit_file) %}

include:
  - redis.server

redis-sentinel-package:
  pkg.installed:
    - name: {{ files.sentinel.package }}
    - install_recommends: False
    - require:
      - pkg: redis-package

redis-sentinel-unit:
  file.managed:
    - name: {{ unit_file }}
    - source: salt://redis/files/unit.conf
    - template: jinja
    - context: {{ {"files": files, "run": files.sentinel.run} | json }}
    - makedirs: True
    - mode: '0644'

redis-sentinel-users:
  redis_server.users:
    - name: {{ sentinel.aclfile }}
    - settings: {{ settings | json }}
    - place: {{ sentinel | json }}
    - user: {{ files.user }}
    - sentinel: True
    - require:
      - pkg: redis-sentinel-package
      - redis_server: redis-role

redis-sentinel-config:
  redis_server.watched:
    - name: {{ sentinel.conf }}
    - settings: {{ settings | json }}
    - place: {{ sentinel | json }}
    - redis_place: {{ place | json }}
    - unit: {{ files.sentinel.unit }}
    - user: {{ files.user }}
    - require:
      - redis_server: redis-sentinel-users
      - file: redis-sentinel-unit
    {%- if pems %}
    - require_in:
      - file: redis-tls-cleaned
    {%- endif %}

redis-sentinel-service:
  service.running:
    - name: {{ files.sentinel.unit }}
    - enable: True
    - require:
      - redis_server: redis-sentinel-config
