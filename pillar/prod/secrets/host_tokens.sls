# EXAMPLE with no secrets in it: every '' is refused until you put your own there, encrypted for the master's
# key (docs/reference/pillar.md tells how); they are decrypted where they are used.
# Host id -> the token with which it drains and restores itself at the balancers. No machine gets this file:
# secrets.balancer gives it to the balancers, secrets.host_token gives each host its own line.
host_tokens:
  itrust-1: ''
  itrust-2: ''
  itrust-3: ''
  itrust-4: ''
  itrust-5: ''
