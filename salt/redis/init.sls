# A Redis server of the fleet, and a Sentinel beside it where redis:ha says so.
{%- from "redis/map.jinja" import redis with context %}

include:
  - redis.server
  - redis.{{ "sentinel" if redis.ha == "sentinel" else "no_sentinel" }}
