balancer-config:
  file.managed:
    - name: {{ opts["fake_balancer_config"] }}
    - contents: {{ salt["pillar.get"]("traffic") | json | json }}

balancer-positions:
  file.managed:
    - name: {{ opts["fake_balancer_config"] }}.release
    - contents: '{{ salt["pillar.get"]("release:checkbox:id") }}'
