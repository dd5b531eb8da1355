{#- Stands in for a state that updates its host: it can be held in the middle, and v-bad never starts. -#}
{%- set version = salt["pillar.get"]("release:web:stable:version", "none") %}
{%- set home = opts["fake_web"] ~ "/" ~ opts["id"] %}

{#- It waits for as long as the tests hold it, but not for ever. #}
web-stop:
  cmd.run:
    - name: |
        echo {{ version }} >> {{ home }}/updates
        for try in $(seq 600); do test -e {{ home }}/hold || break; sleep 0.1; done
    - prereq:
      - file: web-version

{%- if version == "v-bad" %}

web-version:
  file.managed:
    - name: {{ home }}/half_way
    - contents: {{ version }}

web-health:
  test.configurable_test_state:
    - changes: False
    - result: False
    - comment: 503 from /health for 30 s (want 200)
    - require:
      - file: web-version
{%- else %}

web-version:
  file.managed:
    - name: {{ home }}/version
    - contents: {{ version }}

web-whole:
  file.absent:
    - name: {{ home }}/half_way
    - require:
      - file: web-version
{%- endif %}
