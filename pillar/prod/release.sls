# What the release side on the master knows of each service, and what `state.orchestrate canary` ships.
# EXAMPLE: write your own addresses and repository.
canary:
  service: checkbox
  version: v2
release_settings:
  services:
    checkbox:
      stable: N@checkbox_stable
      canary: N@checkbox_canary
      state: checkbox
      source: https://git.example.com/checkbox.git
      health_path: /api/study/listing
      port: 80
      probe:
        count: 60
        paths: [/api/study/listing, /]
        max_error_ratio: 0.0
        max_p95_ms: 250
      needs:
        - {name: MongoDB, kind: mongodb, host: 10.20.0.21, port: 27017}
    itrust:
      stable: N@itrust
      state: itrust
      health_path: /iTrust/login.jsp
      port: 8080
      repository: https://git.example.com/itrust.git
      branch: main
      artifacts: http://10.20.0.16:8081/
      # The job that a webhook starts; its token and the webhooks' secrets are in secrets/master.sls.
      push:
        trigger: {url: http://10.20.0.16:8080/job/itrust/build}
      # The first host alone, then more at once; the database's host last.
      roll:
        batches: [1, 2]
        order: {last: N@mariadb}
        max_failures: 0
        soak_seconds: 60
        on_failure: revert
        host_timeout_seconds: 900
