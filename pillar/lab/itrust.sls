{%- import_yaml "addresses.sls" as fleet %}
itrust:
  db:
    host: {{ fleet.lab.addresses["itrust-1"] }}
# Five of them share the memory of one computer.
tomcat:
  heap_megabytes: 256
