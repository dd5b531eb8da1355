# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
redis:
  users:
    release: {password: lab-fake-redis-release}
