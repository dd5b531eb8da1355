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
