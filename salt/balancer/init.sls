# The balancer: its package in an environment of its own, its file from pillar and mine, its service.
{%- from "balancer/map.jinja" import balancer with context %}
{%- set home = "/opt/sluice/balancer" %}
{%- set settings = dict(balancer) %}
{%- set secrets = [(balancer.admin_token_file, balancer.admin_token), (balancer.redis.password_file, balancer.redis.password), (balancer.alert_tokens_file, balancer.alert_tokens | json)] %}
{%- for secret in ["admin_token", "alert_tokens"] %}{% do settings.pop(secret) %}{% endfor %}
{%- do settings.update({"redis": {"host": balancer.redis.host, "port": balancer.redis.port, "username": balancer.redis.username, "password_file": balancer.redis.password_file}}) %}

balancer-user:
  user.present:
    - name: sluice
    - system: True
    - home: /var/lib/sluice
    - createhome: False
    - shell: /usr/sbin/nologin

balancer-requirements:
  file.managed:
    - name: {{ home }}/requirements.lock
    - source: salt://balancer/requirements.lock
    - makedirs: True

balancer-wheel:
  file.recurse:
    - name: {{ home }}/wheel
    - source: salt://balancer/wheel
    - clean: True

balancer-environment:
  cmd.run:
    - name: >-
        python3 -m venv {{ home }}/venv &&
        {{ home }}/venv/bin/pip install --quiet --require-hashes -r {{ home }}/requirements.lock &&
        {{ home }}/venv/bin/pip install --quiet --no-deps --no-index --force-reinstall {{ home }}/wheel/*.whl &&
        sha256sum {{ home }}/requirements.lock {{ home }}/wheel/*.whl > {{ home }}/installed
    - unless: sha256sum --status --check {{ home }}/installed
    - require:
      - file: balancer-requirements
      - file: balancer-wheel

balancer-secrets-directory:
  file.directory:
    - name: /etc/sluice
    - mode: '0755'

{%- for file, content in secrets %}
balancer-secret-{{ loop.index }}:
  file.managed:
    - name: {{ file }}
    - contents: {{ content | json }}
    - user: root
    - group: sluice
    - mode: '0640'
    - show_changes: False
    - require:
      - user: balancer-user
      - file: balancer-secrets-directory
    - watch_in:
      - service: balancer-service
{%- endfor %}

balancer-config:
  balancer.configured:
    - name: /etc/sluice/balancer.json
    - settings: {{ settings | json }}
    - traffic: {{ salt["pillar.get"]("traffic", {}) | json }}
    - group: sluice
    - require:
      - user: balancer-user
      - file: balancer-secrets-directory

balancer-unit:
  file.managed:
    - name: /etc/systemd/system/sluice-balancer.service
    - source: salt://balancer/files/sluice-balancer.service
    - template: jinja
    - context: {{ {"home": home} | json }}

balancer-service:
  service.running:
    - name: sluice-balancer
    - enable: True
    - require:
      - balancer: balancer-config
    - watch:
      - cmd: balancer-environment
      - file: balancer-unit

balancer-in-force:
  balancer.in_force:
    - name: /etc/sluice/balancer.json
    - require:
      - service: balancer-service
