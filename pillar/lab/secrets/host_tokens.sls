# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
# Host id -> the token with which it drains and restores itself at the balancers. No machine gets this file:
# secrets.balancer gives it to the balancers, secrets.host_token gives each host its own line.
host_tokens:
  itrust-1: lab-fake-host-token-itrust-1
  itrust-2: lab-fake-host-token-itrust-2
  itrust-3: lab-fake-host-token-itrust-3
  itrust-4: lab-fake-host-token-itrust-4
  itrust-5: lab-fake-host-token-itrust-5
