{%- import_yaml "addresses.sls" as fleet %}
balancer:
  backend_network: {{ fleet.lab.network }}
  services:
    checkbox:
      listen: 0.0.0.0:80
      backend_port: 80
      tracks:
        stable: N@checkbox_stable
        canary: N@checkbox_canary
      health:
        path: /health
        timeout_seconds: 2
        fall: 3
      # Wide enough for a healthy version on a busy computer; v2-bad (every fifth answer an error, each
      # 400 ms late) breaks both.
      monitor:
        min_requests: 100
        looks: 3
        max_error_ratio_over_stable: 0.15
        max_latency_ratio: 10
        min_latency_ms: 300
