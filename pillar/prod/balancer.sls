# EXAMPLE: write your own network and addresses.
balancer:
  backend_network: 10.20.0.0/16
  services:
    checkbox:
      listen: 0.0.0.0:80
      backend_port: 80
      tracks:
        stable: N@checkbox_stable
        canary: N@checkbox_canary
      health:
        path: /api/study/listing
    itrust:
      listen: 0.0.0.0:80
      hosts: [itrust.example.com]
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
