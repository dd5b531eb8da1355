# EXAMPLE: write your own address. Redis speaks plain TCP: keep it on a private network.
redis:
  bind: 10.20.0.12
