# The flags that pillar declares: each with its owner and until when, and a value where it has none yet.
{%- from "redis/map.jinja" import redis with context %}

include:
  - redis

{%- for name, told in redis.flags | dictsort %}
{%- set flag = told or {} %}
{%- if "rules" in flag or "variants" in flag %}

redis-flag-rules-{{ name }}:
  flag.rules:
    - name: {{ name | json }}
    - rules: {{ flag.rules | default({}) | json }}
    - variants: {{ flag.variants | default({}) | json }}
    - retry:
        attempts: 30
        interval: 2
    - require:
      - sls: redis.server
    # A value may be a variant.
    - require_in:
      - flag: redis-flag-{{ name }}
{%- endif %}

redis-flag-{{ name }}:
  flag.present:
    - name: {{ name | json }}
    {%- for key, value in flag | dictsort if key not in ("rules", "variants") %}
    - {{ key }}: {{ value | json }}
    {%- endfor %}
    # At the first highstate of a fleet its replicas may be a minute away.
    - retry:
        attempts: 30
        interval: 2
    - require:
      - sls: redis.server
{%- endfor %}
