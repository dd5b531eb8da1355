{%- import_yaml "addresses.sls" as fleet %}
redis:
  master: redis-1
  servers:
    {%- for id, address in fleet.lab.addresses | dictsort if id.startswith("redis-") %}
    {{ id }}: {{ address }}
    {%- endfor %}
  # The stand-in's /getPic shows the picture: so the demos and tests that look at it want it.
  flags:
    key1:
      value: 1
      owner: pictures
      description: Shows the picture
      expires: 2035-01-01
