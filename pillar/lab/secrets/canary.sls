# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
# With this token a canary may raise an alert at a balancer, and do nothing else.
checkbox:
  alert_token: lab-fake-alert-canary-1
