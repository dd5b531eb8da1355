master:
  environment: lab
salt_api:
  plain_http: true   # on the lab's own bridge
