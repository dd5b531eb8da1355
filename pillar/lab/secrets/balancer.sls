# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
{%- import_yaml "secrets/host_tokens.sls" as all %}
balancer:
  admin_token: lab-fake-balancer-admin
  alert_tokens:
    master: lab-fake-alert-master
    canary-1: lab-fake-alert-canary-1
    monitor: lab-fake-alert-monitor
  host_tokens: {{ all.host_tokens | json }}
