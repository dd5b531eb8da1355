# Every application host has a flag service of its own, for the applications there: it listens on loopback.
flags:
  listen: 127.0.0.1:8016
