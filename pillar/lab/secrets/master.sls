# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
release_settings:
  alert_token: lab-fake-alert-master
