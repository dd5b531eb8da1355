{%- import_yaml "addresses.sls" as fleet %}
balancer:
  backend_network: {{ fleet.lab.network }}
  redis:
    host: {{ fleet.lab.addresses["redis-1"] }}
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
