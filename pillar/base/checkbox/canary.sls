checkbox:
  track: canary
