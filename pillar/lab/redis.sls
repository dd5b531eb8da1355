{%- import_yaml "addresses.sls" as fleet %}
redis:
  bind: {{ fleet.lab.addresses[opts.id] }}
