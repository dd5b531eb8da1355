# The document database, from the provider that pillar names.
{%- from "mongodb/map.jinja" import mongodb with context %}
{%- from "secrets.jinja" import required %}
{%- set secrets = {} %}
{%- for name, user in mongodb.users | dictsort if mongodb.provider != "external" %}{% do secrets.update({"mongodb:users:" ~ name ~ ":password": user.password}) %}{% endfor %}
{{ required("mongodb", secrets) }}
{%- if mongodb.provider == "external" %}
mongodb-external:
  test.nop:
    - name: mongodb:provider is external; nothing to install
{%- elif mongodb.provider == "mongodb_org" and not mongodb.key_sha256 %}
mongodb-key:
  refuse.because:
    - name: >-
        pillar mongodb:key_sha256 is empty; put the sha256 of {{ mongodb.key_url }} there,
        taken from a second source
    - failhard: True
{%- elif mongodb.provider == "mongodb_org" or (mongodb.provider == "secantus" and mongodb.lab) %}
include:
  - mongodb.{{ mongodb.provider }}
{%- elif mongodb.provider == "secantus" %}
mongodb-provider:
  refuse.because:
    - name: >-
        mongodb:provider secantus is for the lab and must not keep real data. Want mongodb_org or external;
        a lab says so with mongodb:lab true.
    - failhard: True
{%- else %}
mongodb-provider:
  refuse.because:
    - name: {{ ("mongodb:provider is " ~ mongodb.provider ~ "; want mongodb_org, secantus (lab) or external") | json }}
    - failhard: True
{%- endif %}
