# Settings every minion has. Their keys, id and master come from whatever made the machine.
minion-config:
  file.managed:
    - name: /etc/salt/minion.d/sluice.conf
    - source: salt://minion.d/sluice.conf
    - mode: '0644'

# A minion cannot wait for its own restart: it is asked of systemd, after this run has returned.
minion-restart:
  cmd.run:
    - name: systemd-run --on-active=5 systemctl try-restart salt-minion
    - onchanges:
      - file: minion-config
