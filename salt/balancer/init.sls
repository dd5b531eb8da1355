# The balancer: its package in an environment of its own, its file from pillar and mine, its service.
{%- from "balancer/map.jinja" import balancer with context %}
{%- from "secrets.jinja" import required %}
{%- set home = "/opt/sluice/balancer" %}
{%- set told = salt["pillar.get"]("redis", {}) %}
{%- set redis = {} %}
{%- for key in ("servers", "port", "ha", "sentinel") if key in told %}{% do redis.update({key: told[key]}) %}{% endfor %}
{%- set redis_password = salt["pillar.get"]("redis:users:balancer:password", "") %}
{#- Whose certificates of Redis to believe: the file that pillar names, or one with what pillar has. #}
{%- set redis_ca = salt["pillar.get"]("redis:tls:ca", "") | string if salt["pillar.get"]("redis:tls:enabled") else "" %}
{%- set is_pem = redis_ca.startswith("-----BEGIN") %}
{%- if redis_ca %}{% do redis.update(ca=balancer.redis_ca_file if is_pem else redis_ca) %}{% endif %}
{%- set settings = dict(balancer, redis=redis) %}
{%- do settings.pop("admin_token") %}
{%- do settings.pop("alert_tokens") %}
{%- do settings.pop("host_tokens") %}
{%- do settings.pop("affinity_secret") %}
{#- Certificates and keys of pillar become files, and the balancer's file names these. #}
{%- set services = dict(balancer.services) if balancer.services is mapping else {} %}
{%- set pairs = {} %}
{%- for name, told in services.items() if told is mapping and told.tls is mapping and ("key" in told.tls or "certificate" in told.tls) %}
{%- set tls = dict(told.tls, certificate_file="/etc/sluice/tls/" ~ name ~ ".pem", key_file="/etc/sluice/tls/" ~ name ~ ".key") %}
{%- do pairs.update({name: {"pem": tls.pop("certificate", ""), "key": tls.pop("key", "")}}) %}
{%- do settings.update(services=dict(settings.services, **{name: dict(told, tls=tls)})) %}
{%- endfor %}

{%- set secrets = {"balancer:admin_token": balancer.admin_token} %}
{%- for host, token in balancer.alert_tokens | dictsort %}{% do secrets.update({"balancer:alert_tokens:" ~ host: token}) %}{% endfor %}
{%- for host, token in balancer.host_tokens | dictsort %}{% do secrets.update({"balancer:host_tokens:" ~ host: token}) %}{% endfor %}
{%- set files = [("admin-token", balancer.admin_token_file, balancer.admin_token), ("alert-tokens", balancer.alert_tokens_file, balancer.alert_tokens | json), ("host-tokens", balancer.host_tokens_file, balancer.host_tokens | json)] %}
{%- if redis %}
{%- do secrets.update({"redis:users:balancer:password": redis_password}) %}
{%- do files.append(("redis-password", balancer.redis_password_file, redis_password)) %}
{%- if is_pem %}{% do files.append(("redis-ca", balancer.redis_ca_file, redis_ca)) %}{% endif %}
{%- endif %}
{%- if balancer.services.values() | selectattr("affinity", "defined") | list %}
{%- do secrets.update({"balancer:affinity_secret": balancer.affinity_secret}) %}
{%- do files.append(("affinity-secret", balancer.affinity_secret_file, balancer.affinity_secret)) %}
{%- endif %}
{%- for name, pair in pairs | dictsort %}{% do secrets.update({"balancer:services:" ~ name ~ ":tls:certificate": pair.pem, "balancer:services:" ~ name ~ ":tls:key": pair.key}) %}{% endfor %}
{{ required("balancer", secrets) }}

include:
  - balancer.environment

balancer-user:
  user.present:
    - name: sluice
    - system: True
    - home: /var/lib/sluice
    - createhome: False
    - shell: /usr/sbin/nologin

balancer-secrets-directory:
  file.directory:
    - name: /etc/sluice
    - mode: '0755'


# The balancer takes them over by itself, as it does with its file: no restart.
{%- for name, file, content in files %}
balancer-{{ name }}-file:
  file.managed:
    - name: {{ file }}
    - contents: {{ content | json }}
    - user: sluice
    - group: root
    - mode: '0400'
    - show_changes: False
    - require:
      - user: balancer-user
      - file: balancer-secrets-directory
    - require_in:
      - service: balancer-service
{%- endfor %}

{%- if pairs %}

balancer-tls-directory:
  file.directory:
    - name: /etc/sluice/tls
    - mode: '0755'
    - require:
      - file: balancer-secrets-directory
{%- endif %}
{%- for name, pair in pairs | dictsort %}
{%- for kind, content in pair | dictsort %}

balancer-tls-{{ name }}-{{ kind }}:
  file.managed:
    - name: /etc/sluice/tls/{{ name }}.{{ kind }}
    - contents: {{ content | json }}
    - user: sluice
    - group: root
    - mode: '0400'
    - show_changes: False
    - require:
      - user: balancer-user
      - file: balancer-tls-directory
    - require_in:
      - balancer: balancer-config
{%- endfor %}
{%- endfor %}

balancer-config:
  balancer.configured:
    - name: /etc/sluice/balancer.json
    - settings: {{ settings | json }}
    - traffic: {{ salt["pillar.get"]("traffic", {}) | json }}
    - group: sluice
    - releases: {{ salt["pillar.get"]("release", {}) | json }}
    - require:
      - user: balancer-user
      - python_env: balancer-environment
      - file: balancer-secrets-directory

balancer-unit:
  file.managed:
    - name: /etc/systemd/system/sluice-balancer.service
    - source: salt://balancer/files/sluice-balancer.service
    - template: jinja
    - context: {{ {"home": home} | json }}
    - mode: '0644'

# Every request is a line: rotated where logrotate is installed, as it is on every Debian but the smallest.
balancer-log-rotation:
  file.managed:
    - name: /etc/logrotate.d/sluice-balancer
    - source: salt://balancer/files/logrotate
    - template: jinja
    - context: {{ {"log": balancer.access_log} | json }}
    - makedirs: True
    - mode: '0644'

balancer-service:
  service.running:
    - name: sluice-balancer
    - enable: True
    - require:
      - balancer: balancer-config
    - watch:
      - python_env: balancer-environment
      - file: balancer-unit

balancer-in-force:
  balancer.in_force:
    - name: /etc/sluice/balancer.json
    - require:
      - service: balancer-service
