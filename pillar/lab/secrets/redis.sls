# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
redis:
  users:
    admin: {password: lab-fake-redis-admin}
    operator: {password: lab-fake-redis-operator}
    balancer: {password: lab-fake-redis-balancer}
    release: {password: lab-fake-redis-release}
