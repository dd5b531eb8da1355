# The application's part of the database: made by whichever host is first, changed before a host takes the version.
{%- from "itrust/map.jinja" import itrust, release, fit with context %}
{%- if fit and itrust.db.schema_user %}

itrust-schema:
  sql_schema.applied:
    - name: {{ itrust.db.name }}
    - source: /srv/itrust/artifacts/{{ release.version }}-{{ release.sha256[:12] }}/WEB-INF/sql
    - host: {{ itrust.db.host }}
    - port: {{ itrust.db.port }}
    - user: {{ itrust.db.schema_user }}
    - password: itrust:db:schema_password
    - require:
      - artifact: itrust-unpacked
    - require_in:
      - webapp: itrust-application
{%- else %}

itrust-schema:
  test.nop:
    - name: nothing is to be done to the database of itrust from here
{%- endif %}
