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
    itrust:
      listen: 0.0.0.0:8080
      backend_port: 8080
      tracks:
        stable: N@itrust
      # Three of five stay up, whoever drains.
      min_available:
        stable: 60%
      # 503 without the database; with one that hangs there is no answer at all.
      health:
        path: /iTrust/login.jsp
        timeout_seconds: 3
      # What iTrust needs put right on its way, see docs/howto/request-rules.md.
      rules:
        - path_prefix: /iTrust/util/
          except: [/iTrust/util/resetPassword.jsp]
          deny: 403
        - path: /iTrust/j_security_check
          methods: [GET]
          set_method: POST
        - path: /
          redirect: {status: 302, to: /iTrust/}
