# Settings every minion has. Their keys, id and master come from whatever made the machine.
# They hold from the minion's next start on: a restart in the middle of a run would take the run with it,
# and one right after it would miss the next order. What must hold at once is in pillar (common.sls).
minion-config:
  file.managed:
    - name: /etc/salt/minion.d/sluice.conf
    - source: salt://minion.d/sluice.conf
    - mode: '0644'

# Salt 3008.3 keeps the runs that wait their turn in a folder for each master, and saltutil.find_job looks for them
# where they were before: whoever gave an order that waits is told "did not return". These lead it there.
{%- for queue in ("state_queue", "job_queue") %}
minion-{{ queue | replace("_", "-") }}:
  file.symlink:
    - name: {{ opts.cachedir }}/{{ queue }}
    - target: {{ opts.cachedir }}/queues/{{ opts.master | string | regex_replace("[^A-Za-z0-9._-]", "_") }}/{{ queue }}
{%- endfor %}
