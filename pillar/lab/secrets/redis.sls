# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
include:
  - secrets.redis_admin
  - secrets.redis_balancer
  - secrets.redis_reader
  - secrets.redis_release
  - secrets.redis_writer
redis:
  users:
    operator: {password: lab-fake-redis-operator}
    replication: {password: lab-fake-redis-replication}
    probe: {password: lab-fake-redis-probe}
    sentinel: {password: lab-fake-redis-sentinel}
