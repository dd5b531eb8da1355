{%- import_yaml "addresses.sls" as fleet %}
mongodb:
  provider: secantus
  lab: true          # secantus is refused without it
  bind: {{ fleet.lab.addresses["checkbox-1"] }}
