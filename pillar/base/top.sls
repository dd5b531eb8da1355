# Role -> pillar; a machine sees the secrets of its own role and no others.
base:
  '*':
    - common
  master:
    - match: nodegroup
    - traffic
    - master
    - release
    - redis
    - secrets.master
    - secrets.redis_admin
    - secrets.redis_reader
    - secrets.redis_release
    - secrets.redis_writer
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
    - redis
    - secrets.checkbox
    - secrets.redis_reader
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
    - redis
    - secrets.balancer
    - secrets.redis_balancer
  flags:
    - match: nodegroup
    - flags
    - redis
    - secrets.flags
    - secrets.redis_reader
  mariadb:
    - match: nodegroup
    - secrets.mariadb
  itrust:
    - match: nodegroup
    - itrust
    - secrets.itrust
    - secrets.host_token
  jenkins:
    - match: nodegroup
    - jenkins
    - secrets.jenkins
