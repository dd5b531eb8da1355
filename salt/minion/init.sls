# Settings every minion has. Their keys, id and master come from whatever made the machine.
# They hold from the minion's next start on: a restart in the middle of a run would take the run with it,
# and one right after it would miss the next order. What must hold at once is in pillar (common.sls).
minion-config:
  file.managed:
    - name: /etc/salt/minion.d/sluice.conf
    - source: salt://minion.d/sluice.conf
    - mode: '0644'
