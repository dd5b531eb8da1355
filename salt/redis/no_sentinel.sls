# redis:ha none: an operator promotes, and no Sentinel may do so beside him.
{%- from "redis/map.jinja" import files with context %}
{%- if salt["file.file_exists"](files.sentinel.binary) %}

redis-no-sentinel:
  service.dead:
    - name: {{ files.sentinel.unit }}
    - enable: False
    - require_in:
      - file: redis-no-sentinel-config
{%- endif %}

# Else a Sentinel of later would begin with the master of today.
redis-no-sentinel-config:
  file.absent:
    - name: {{ files.etc }}/sentinel.conf
