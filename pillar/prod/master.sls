master:
  environment: prod
salt_api:
  ssl_crt: /etc/salt/pki/api.crt
  ssl_key: /etc/salt/pki/api.key
