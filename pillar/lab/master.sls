master:
  environment: lab
