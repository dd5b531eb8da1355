# A daily copy of the ledger, which is looked at before an older one goes.
{%- from "master/map.jinja" import master with context %}
master-backup-directory:
  file.directory:
    - name: {{ master.backup.directory }}
    - makedirs: True
    - mode: '0700'
{%- for unit in ["service", "timer"] %}

master-backup-{{ unit }}:
  file.managed:
    - name: /etc/systemd/system/sluice-ledger-backup.{{ unit }}
    - source: salt://master/files/backup.{{ unit }}
    - template: jinja
    - context: {{ {"backup": master.backup} | json }}
    - mode: '0644'
    - require:
      - file: master-backup-directory
{%- endfor %}

master-backup-scheduled:
  service.running:
    - name: sluice-ledger-backup.timer
    - enable: True
    - watch:
      - file: master-backup-timer
