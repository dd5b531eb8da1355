# The balancer's package, and what it requires, in an environment of its own.
{%- set home = "/opt/sluice/balancer" %}

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

balancer-packages:
  pkg.installed:
    - name: python3-venv
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}

balancer-environment:
  python_env.installed:
    - name: {{ home }}/venv
    - lock: {{ home }}/requirements.lock
    - wheels: {{ home }}/wheel
    - require:
      - pkg: balancer-packages
      - file: balancer-requirements
      - file: balancer-wheel
