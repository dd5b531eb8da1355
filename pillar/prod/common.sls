# For every machine: its address reaches the others through the mine. EXAMPLE: write your own network.
mine_functions:
  sluice_address:
    - mine_function: network.ip_addrs
    - cidr: 10.20.0.0/16
# A new or moved machine shows within a minute, and at once after `salt ID mine.update`.
schedule:
  sluice_mine:
    function: mine.update
    minutes: 1
    maxrunning: 1
    return_job: False
