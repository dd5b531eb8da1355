balancer-config:
  file.managed:
    - name: {{ opts["fake_balancer_config"] }}
    - contents: {{ salt["pillar.get"]("traffic") | json | json }}
