# The master's API: the hook of build servers and git hosts, and nothing else (docs/reference/webhooks.md). With
# salt_api:users in pillar; their passwords are asked for in init.sls.
{%- from "master/map.jinja" import master, api with context %}
{%- if api.users %}
{%- set known, acl = [], {} %}
{%- for name, user in api.users | dictsort %}
{%- do known.append(name ~ ":" ~ (user.password | sha256)) %}
{%- do acl.update({name: []}) %}
{%- endfor %}
{%- set tls = {} if api.plain_http else {"ssl_crt": api.ssl_crt, "ssl_key": api.ssl_key} %}
{%- if not api.plain_http and not (api.ssl_crt and api.ssl_key) %}

master-api-tls:
  refuse.because:
    - name: "pillar salt_api: want ssl_crt and ssl_key, the files of a certificate on the master, or plain_http: True where nobody can listen on the way; see docs/reference/pillar.md"
    - order: first
    - failhard: True
{%- endif %}

# Hashed, as Salt's log-in `file` reads them: what stands there logs nobody in.
master-api-users:
  file.managed:
    - name: /etc/salt/api.users
    - contents: {{ known | json }}
    - mode: '0600'
    - show_changes: False

# A user's rights in Salt are none: all it can do is what the hook lets it.
master-api-config:
  file.serialize:
    - name: /etc/salt/master.d/api.conf
    - serializer: yaml
    - dataset:
        external_auth:
          file: {{ dict({"^filename": "/etc/salt/api.users", "^hashtype": "sha256"}, **acl) | json }}
        release_hook: {{ dict({"host": api.host, "port": api.port, "users": acl.keys() | sort}, **tls) | json }}
    - mode: '0644'

{%- if grains["pythonexecutable"].startswith("/opt/saltstack/") %}

master-api-package:
  pkg.installed:
    - name: salt-api
    - require_in:
      - service: master-api-service
{%- else %}

# Salt from pip brings no units.
master-api-unit:
  file.managed:
    - name: /etc/systemd/system/salt-api.service
    - source: salt://master/files/salt-api.service
    - template: jinja
    - context: {{ {"python": grains["pythonexecutable"]} | json }}
    - mode: '0644'
    - watch_in:
      - service: master-api-service
{%- endif %}

master-api-service:
  service.running:
    - name: salt-api
    - enable: True
    - require:
      - file: master-api-users
    - watch:
      - file: master-api-config
{%- endif %}
