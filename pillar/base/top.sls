# Role -> pillar; a machine sees the secrets of its own role and no others.
base:
  '*':
    - common
  master:
    - match: nodegroup
    - traffic
    - master
    - release
    - secrets.master
  # The orchestration on the master compiles its pillar under this id.
  'master_master':
    - release
  redis:
    - match: nodegroup
    - redis
    - secrets.redis
  mongodb:
    - match: nodegroup
    - mongodb
    - secrets.mongodb
  checkbox:
    - match: nodegroup
    - checkbox
    - secrets.checkbox
  checkbox_stable:
    - match: nodegroup
    - checkbox.stable
  checkbox_canary:
    - match: nodegroup
    - checkbox.canary
    - secrets.canary
  balancer:
    - match: nodegroup
    - traffic
    - balancer
    - secrets.balancer
