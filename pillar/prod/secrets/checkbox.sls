#!jinja|yaml|gpg
# EXAMPLE with no secrets in it: every '' is refused until you put your own there, encrypted for the master's
# key (docs/reference/pillar.md tells how):  printf %s 'the secret' | gpg --armor --encrypt -r sluice-master
checkbox:
  env:
    MONGO_PASSWORD: ''    # goes into a URL as it is: letters, digits, - and _ only
    MAIL_PASSWORD: ''
