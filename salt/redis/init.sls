# A Redis server of the fleet, and a Sentinel beside it where redis:ha says so.
{%- from "redis/map.jinja" import redis with context %}
{%- set sentinel = {"sentinel": "sentinel", "none": "no_sentinel"} %}

include:
  - redis.server
  {%- if redis.ha in sentinel %}
  - redis.{{ sentinel[redis.ha] }}
  {%- endif %}
