master:
  environment: prod
