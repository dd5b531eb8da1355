# Applications of the lab are asked from other machines, too.
flags:
  listen: 0.0.0.0:8016
