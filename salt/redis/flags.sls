# The flags that pillar declares: each with its owner and until when, and a value where it has none yet.
{%- from "redis/map.jinja" import redis with context %}

include:
  - redis

{%- for name, told in redis.flags | dictsort %}

redis-flag-{{ name }}:
  flag.present:
    - name: {{ name | json }}
    {%- for key, value in (told or {}) | dictsort %}
    - {{ key }}: {{ value | json }}
    {%- endfor %}
    # At the first highstate of a fleet its replicas may be a minute away.
    - retry:
        attempts: 30
        interval: 2
    - require:
      - sls: redis.server
{%- endfor %}
