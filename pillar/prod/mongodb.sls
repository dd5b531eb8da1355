# EXAMPLE: write your own address; take the key's sha256 from a second source.
mongodb:
  provider: mongodb_org
  bind: 10.20.0.21
  key_sha256: ''
