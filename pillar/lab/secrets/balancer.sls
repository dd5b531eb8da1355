# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
balancer:
  admin_token: lab-fake-balancer-admin
  alert_tokens:
    master: lab-fake-alert-master
    canary-1: lab-fake-alert-canary-1
    monitor: lab-fake-alert-monitor
