# For every machine of the lab: its address reaches the others through the mine.
{%- import_yaml "addresses.sls" as fleet %}
mine_functions:
  sluice_address:
    - mine_function: network.ip_addrs
    - cidr: {{ fleet.lab.network }}
# A new or moved machine shows within a minute, and at once after `salt ID mine.update`.
schedule:
  sluice_mine:
    function: mine.update
    minutes: 1
    maxrunning: 1
    return_job: False
# The images bring the packages along, and the lists that name them.
packages:
  lists_valid_seconds: 31536000
