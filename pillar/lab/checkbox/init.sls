# checkbox.io in the lab: the stand-in application from the lab's git server.
{%- import_yaml "addresses.sls" as fleet %}
checkbox:
  source: git://{{ fleet.lab.addresses["git-1"] }}/checkbox
  version: v1
  env:
    MONGO_IP: {{ fleet.lab.addresses["checkbox-1"] }}
    MONGO_PORT: 27017
    MONGO_USER: checkbox
