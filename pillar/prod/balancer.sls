# EXAMPLE: write your own network and addresses.
balancer:
  backend_network: 10.20.0.0/16
  services:
    checkbox:
      listen: 0.0.0.0:80
      backend_port: 80
      tracks:
        stable: N@checkbox_stable
        canary: N@checkbox_canary
      health:
        path: /api/study/listing
