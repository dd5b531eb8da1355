checkbox:
  track: stable
