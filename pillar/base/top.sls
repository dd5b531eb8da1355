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
  # An orchestration compiles its pillar under the master's own id: its host name with _master.
  '*_master':
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
