#!jinja|yaml|gpg
# EXAMPLE with no secrets in it: every '' is refused until you put your own there, encrypted for the master's
# key (docs/reference/pillar.md tells how):  printf %s 'the secret' | gpg --armor --encrypt -r sluice-master
# With this token the new version may raise an alert at the balancer by itself, and do nothing else.
checkbox:
  env:
    ALERT_URL: http://10.20.0.11:9902/alert
    ALERT_TOKEN: ''
