# A Redis server of the fleet: the master or a replica, with users of least rights.
{%- from "redis/map.jinja" import redis, providers, found, files, pems, place, settings with context %}
{%- from "secrets.jinja" import required %}
{%- set secrets = {} %}
{%- for name, user in redis.users | dictsort %}{% do secrets.update({"redis:users:" ~ name ~ ":password": user.password}) %}{% endfor %}
{%- for kind in ("ca", "cert", "key") if redis.tls.enabled %}{% do secrets.update({"redis:tls:" ~ kind: redis.tls[kind]}) %}{% endfor %}
{{ required("redis", secrets) }}
{%- if found.provider not in providers %}

redis-provider:
  refuse.because:
    - name: {{ ("redis:provider is " ~ found.provider ~ "; want redis or valkey, or none of them for what there is") | json }}
    - order: first
    - failhard: True
{%- endif %}

redis-package:
  pkg.installed:
    - name: {{ files.package }}
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
    - install_recommends: False

redis-kernel:
  redis_server.kernel:
    - name: /etc/sysctl.d/60-sluice-redis.conf
    - settings:
        # Redis forks to write its data; without this the kernel may refuse it memory that it never uses.
        vm.overcommit_memory: 1
        net.core.somaxconn: 1024

# Redis reads it at its start: a changed unit is a reason to restart, in its turn.
redis-unit:
  file.managed:
    - name: {{ place.unit_file }}
    - source: salt://redis/files/unit.conf
    - template: jinja
    - context: {{ {"files": files, "run": files.run} | json }}
    - makedirs: True
    - mode: '0644'

{%- if pems %}

redis-tls-directory:
  file.directory:
    - name: {{ files.etc }}/tls
    - user: root
    - group: {{ files.user }}
    - mode: '0750'
    - require:
      - pkg: redis-package
{%- endif %}
{%- for kind, content in pems | dictsort %}

redis-tls-{{ kind }}:
  file.managed:
    - name: {{ place.tls[kind] }}
    - contents: {{ content | json }}
    - user: root
    - group: {{ files.user }}
    - mode: '0640'
    - show_changes: False
    - require:
      - file: redis-tls-directory
    - require_in:
      - redis_server: redis-users
{%- endfor %}

redis-users:
  redis_server.users:
    - name: {{ place.aclfile }}
    - settings: {{ settings | json }}
    - place: {{ place | json }}
    - user: {{ files.user }}
    - require:
      - pkg: redis-package

redis-config:
  redis_server.configured:
    - name: {{ place.conf }}
    - settings: {{ settings | json }}
    - place: {{ place | json }}
    - unit: {{ files.unit }}
    - user: {{ files.user }}
    - deadline_seconds: {{ redis.restart_seconds }}
    - require:
      - redis_server: redis-users
      - file: redis-unit

redis-service:
  service.running:
    - name: {{ files.unit }}
    - enable: True
    - require:
      - redis_server: redis-config

redis-role:
  redis_server.in_role:
    - name: {{ grains.id }}
    - settings: {{ settings | json }}
    - place: {{ place | json }}
    # Also if settings wait for a restart: a master that is left over must not stay one for that.
    - require:
      - redis_server: redis-users
{%- if pems %}

# Those of before; by now nobody reads them.
redis-tls-cleaned:
  file.directory:
    - name: {{ files.etc }}/tls
    - clean: True
    - require:
      - redis_server: redis-config
      {%- for kind in pems %}
      - file: redis-tls-{{ kind }}
      {%- endfor %}
{%- endif %}
