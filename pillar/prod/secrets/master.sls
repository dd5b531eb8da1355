#!jinja|yaml|gpg
# EXAMPLE with no secrets in it: every '' is refused until you put your own there, encrypted for the master's
# key (docs/reference/pillar.md tells how):  printf %s 'the secret' | gpg --armor --encrypt -r sluice-master
release_settings:
  alert_token: ''
  services:
    itrust:
      push:            # for webhooks; without a secret none of that git host is taken
        github: ''
        trigger: {token: ''}   # the same as jenkins:job:trigger_token
salt_api:
  users:
    jenkins: {password: ''}   # the same as jenkins:report:password
