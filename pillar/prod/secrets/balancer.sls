#!jinja|yaml|gpg
# EXAMPLE with no secrets in it: every '' is refused until you put your own there, encrypted for the master's
# key (docs/reference/pillar.md tells how):  printf %s 'the secret' | gpg --armor --encrypt -r sluice-master
{%- import_yaml "secrets/host_tokens.sls" as all %}
balancer:
  admin_token: ''
  alert_tokens:           # who may raise an alert at a balancer: host id -> token
    master: ''
    canary-1: ''
  host_tokens: {{ all.host_tokens | json }}
