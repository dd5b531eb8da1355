# EXAMPLE: write your own addresses. Without tls Redis speaks plain TCP: then keep it on a private network.
redis:
  master: redis-1
  servers:
    redis-1: 10.20.0.12
    redis-2: 10.20.0.14
    redis-3: 10.20.0.15
