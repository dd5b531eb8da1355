# redis:ha none: an operator promotes, and no Sentinel may do so beside him.
{%- from "redis/map.jinja" import files with context %}

redis-no-sentinel:
  service.dead:
    - name: {{ files.sentinel.unit }}
    - enable: False

# Else a Sentinel of later would begin with the master of today.
redis-no-sentinel-config:
  file.absent:
    - name: {{ files.etc }}/sentinel.conf
    - require:
      - service: redis-no-sentinel
