# EXAMPLE: write your own address.
itrust:
  db:
    host: 10.20.0.41
