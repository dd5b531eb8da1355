{#- Stands in for the real state: builds every version but v2-broken. -#}
{%- set release = salt["pillar.get"]("release:checkbox:canary:version", "none") %}
checkbox-build:
  test.configurable_test_state:
    - changes: True
    - result: {{ release != "v2-broken" }}
    - comment: {{ ("npm ci failed for " ~ release) | json }}

checkbox-service:
  test.succeed_without_changes:
    - require:
        - test: checkbox-build
