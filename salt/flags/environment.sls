# The flag service's package, which is in the balancer's wheel, in an environment of its own.
{%- set home = "/opt/sluice/flags" %}

flags-requirements:
  file.managed:
    - name: {{ home }}/requirements.lock
    - source: salt://balancer/requirements.lock
    - makedirs: True

flags-wheel:
  file.recurse:
    - name: {{ home }}/wheel
    - source: salt://balancer/wheel
    - clean: True

flags-packages:
  pkg.installed:
    - name: python3-venv
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}

flags-environment:
  python_env.installed:
    - name: {{ home }}/venv
    - lock: {{ home }}/requirements.lock
    - wheels: {{ home }}/wheel
    - require:
      - pkg: flags-packages
      - file: flags-requirements
      - file: flags-wheel
