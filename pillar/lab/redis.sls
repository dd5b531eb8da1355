{%- import_yaml "addresses.sls" as fleet %}
redis:
  master: redis-1
  servers:
    {%- for id, address in fleet.lab.addresses | dictsort if id.startswith("redis-") %}
    {{ id }}: {{ address }}
    {%- endfor %}
