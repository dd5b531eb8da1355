# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
# With this token the new version may raise an alert at the balancer by itself, and do nothing else.
{%- import_yaml "addresses.sls" as fleet %}
checkbox:
  env:
    ALERT_URL: http://{{ fleet.lab.addresses["lb-1"] }}:9902/alert
    ALERT_TOKEN: lab-fake-alert-canary-1
