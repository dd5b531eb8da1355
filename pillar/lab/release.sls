# What the release side on the master knows of each service, and what `state.orchestrate canary` ships.
{%- import_yaml "addresses.sls" as fleet %}
canary:
  service: checkbox
  version: v2
release_settings:
  services:
    checkbox:
      stable: N@checkbox_stable
      canary: N@checkbox_canary
      state: checkbox
      source: git://{{ fleet.lab.addresses["git-1"] }}/checkbox
      health_path: /health
      port: 80
      probe:
        count: 60
        paths: [/health, /api/study/listing, /getPic]
        max_error_ratio: 0.0
        max_p95_ms: 250
        version_header: X-Checkbox-Version
      needs:
        - {name: MongoDB, kind: mongodb, host: {{ fleet.lab.addresses["checkbox-1"] }}, port: 27017}
    itrust:
      stable: N@itrust
      state: itrust
      health_path: /iTrust/login.jsp
      port: 8080
      repository: git://{{ fleet.lab.addresses["git-1"] }}/itrust
      branch: main
      artifacts: http://{{ fleet.lab.addresses["jenkins-1"] }}:8081/
      push:
        trigger: {url: http://{{ fleet.lab.addresses["jenkins-1"] }}:8080/job/itrust/build}
      # One host at a time, the database's host last: five hosts of which three must stay up.
      roll:
        batches: [1]
        order: {last: N@mariadb}
        max_failures: 0
        soak_seconds: 0
        on_failure: revert
        host_timeout_seconds: 600
