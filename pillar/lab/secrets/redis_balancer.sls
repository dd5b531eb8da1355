# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
redis:
  users:
    balancer: {password: lab-fake-redis-balancer}
