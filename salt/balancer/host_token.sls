# On a host behind the balancers: the token with which it drains and restores itself there, and nobody else.
{%- from "secrets.jinja" import required %}
{%- set token = salt["pillar.get"]("balancer_host_token", "") %}
{{ required("balancer-host", {"balancer_host_token": token}) }}

balancer-host-token:
  file.managed:
    - name: /etc/sluice/balancer-host.token
    - contents: {{ token | json }}
    - user: root
    - group: root
    - mode: '0600'
    - makedirs: True
    - dir_mode: '0755'
    - show_changes: False
