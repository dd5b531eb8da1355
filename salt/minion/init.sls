# Settings every minion has. Their keys, id and master come from whatever made the machine.
minion-config:
  file.managed:
    - name: /etc/salt/minion.d/sluice.conf
    - source: salt://minion.d/sluice.conf
    - mode: '0644'

# A minion cannot wait for its own restart: it is asked of systemd, and happens after this run has returned.
# It is the run's last step, because a restart in the middle would take the run with it.
minion-restart:
  cmd.run:
    - name: systemd-run --quiet --collect --on-active=5 systemctl try-restart salt-minion
    - order: last
    - onchanges:
      - file: minion-config
