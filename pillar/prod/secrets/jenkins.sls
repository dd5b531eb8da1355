#!jinja|yaml|gpg
# EXAMPLE with no secrets in it: every '' is refused until you put your own there, encrypted for the master's
# key (docs/reference/pillar.md tells how):  printf %s 'the secret' | gpg --armor --encrypt -r sluice-master
jenkins:
  admin: {password: '', token: ''}     # the token: 11 and then 32 hexadecimal digits
  job: {trigger_token: ''}
  report: {password: ''}               # the same as the master's user of that name
