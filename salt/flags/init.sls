# The flag service: its package in an environment of its own, its file from pillar, its service.
{%- from "flags/map.jinja" import flags, order with context %}
{%- from "redis/map.jinja" import redis with context %}
{%- from "secrets.jinja" import required %}
{%- set home = "/opt/sluice/flags" %}
{%- set password = salt["pillar.get"]("redis:users:reader:password", "") %}
{%- set secrets = {"redis:users:reader:password": password} %}
{%- for reader, token in flags.tokens | dictsort %}{% do secrets.update({"flags:tokens:" ~ reader: token}) %}{% endfor %}
{%- if not flags.tokens %}{% do secrets.update({"flags:tokens": ""}) %}{% endif %}
{%- set files = [("tokens", flags.tokens_file, flags.tokens | json), ("redis-password", flags.redis_password_file, password)] %}
{%- set redis_ca = redis.tls.ca | string %}
{%- set is_pem = redis.tls.enabled and redis_ca.startswith("-----BEGIN") %}
{%- if is_pem %}{% do files.append(("redis-ca", flags.redis_ca_file, redis_ca)) %}{% endif %}
{#- A certificate and key of pillar become files. #}
{%- set tls = dict(flags.tls) %}
{%- if "key" in tls or "certificate" in tls %}
{%- for kind, end in [("certificate", "pem"), ("key", "key")] %}
{%- do secrets.update({"flags:tls:" ~ kind: tls.get(kind)}) %}
{%- do files.append(("tls-" ~ kind, "/etc/sluice/flags." ~ end, tls.pop(kind, ""))) %}
{%- do tls.update({kind ~ "_file": "/etc/sluice/flags." ~ end}) %}
{%- endfor %}
{%- endif %}
{{ required("flags", secrets) }}
{%- if not order %}

flags-servers:
  refuse.because:
    - name: pillar redis:servers is empty; the flag service reads at least one, see docs/reference/pillar.md
    - order: first
    - failhard: True
{%- endif %}

{%- set servers = [] %}
{%- for id in order %}{% do servers.append({"id": id, "host": redis.servers[id] | string, "port": redis.port}) %}{% endfor %}
{%- set source = {"servers": servers, "username": "reader", "password_file": flags.redis_password_file} %}
{%- if redis.tls.enabled %}{% do source.update({"tls": {"ca": flags.redis_ca_file if is_pem else redis_ca}}) %}{% endif %}
{%- set settings = {"listen": flags.listen, "tokens_file": flags.tokens_file, "redis": source, "state_dir": flags.state_dir, "access_log": flags.access_log, "stale_seconds": flags.stale_seconds, "limits": flags.limits} %}
{%- if tls %}{% do settings.update({"tls": tls}) %}{% endif %}

include:
  - flags.environment

flags-user:
  user.present:
    - name: sluice
    - system: True
    - home: /var/lib/sluice
    - createhome: False
    - shell: /usr/sbin/nologin

flags-settings-directory:
  file.directory:
    - name: /etc/sluice
    - mode: '0755'

# The service takes them over by itself: no restart.
{%- for name, file, content in files %}

flags-{{ name }}-file:
  file.managed:
    - name: {{ file }}
    - contents: {{ content | json }}
    - user: sluice
    - group: root
    - mode: '0400'
    - show_changes: False
    - require:
      - user: flags-user
      - file: flags-settings-directory
    - require_in:
      - file: flags-config
{%- endfor %}

# What the service would refuse is not put there.
flags-config:
  file.serialize:
    - name: /etc/sluice/flags.json
    - dataset: {{ settings | json }}
    - serializer: json
    - user: root
    - group: sluice
    - mode: '0640'
    - check_cmd: {{ home }}/venv/bin/python -m flags --check --config
    - require:
      - user: flags-user
      - python_env: flags-environment
      - file: flags-settings-directory

flags-unit:
  file.managed:
    - name: /etc/systemd/system/sluice-flags.service
    - source: salt://flags/files/sluice-flags.service
    - template: jinja
    - context: {{ {"home": home} | json }}
    - mode: '0644'

flags-log-rotation:
  file.managed:
    - name: /etc/logrotate.d/sluice-flags
    - source: salt://flags/files/logrotate
    - template: jinja
    - context: {{ {"log": flags.access_log} | json }}
    - makedirs: True
    - mode: '0644'

# A restart hands the listening socket on: whoever comes meanwhile waits, and nobody is refused.
flags-service:
  service.running:
    - name: sluice-flags
    - enable: True
    - watch:
      - python_env: flags-environment
      - file: flags-config
      - file: flags-unit

{%- if not tls %}
{#- With tls its certificate need not be for an address: that it started is all that is looked at. #}
{%- set port = flags.listen.rpartition(":")[2] %}
{%- set host = flags.listen.rpartition(":")[0] %}

flags-healthy:
  http_ready.answering:
    - name: http://{{ {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host) }}:{{ port }}/health
    - timeout_seconds: {{ flags.health_timeout_seconds }}
    - hint: No Redis of pillar redis:servers answered yet; see `journalctl -u sluice-flags` on this host.
    - require:
      - service: flags-service
{%- endif %}
