# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
include:
  - secrets.redis_reader
  - secrets.redis_writer
redis:
  users:
    admin: {password: lab-fake-redis-admin}
    operator: {password: lab-fake-redis-operator}
    balancer: {password: lab-fake-redis-balancer}
    release: {password: lab-fake-redis-release}
    replication: {password: lab-fake-redis-replication}
    probe: {password: lab-fake-redis-probe}
    sentinel: {password: lab-fake-redis-sentinel}
