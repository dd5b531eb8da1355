# iTrust: an artifact fetched and made ready beside what runs, then the host updated with its server and settings.
{%- from "itrust/map.jinja" import itrust, release, balancers, fit with context %}
{%- from "tomcat/map.jinja" import tomcat, server_files with context %}
{%- from "secrets.jinja" import required %}
{%- set home = "/srv/itrust" %}
{%- set version, url, sha256 = release.get("version"), release.get("url"), release.get("sha256") %}

include:
  - tomcat
{%- if itrust.balanced %}
  - balancer.host_token
{%- endif %}
{%- if fit %}
  - itrust.schema
{%- endif %}
{%- set secrets = {"itrust:db:password": itrust.db.password, "itrust:db:host": itrust.db.host} %}
{%- if itrust.db.schema_user %}{% do secrets.update({"itrust:db:schema_password": itrust.db.schema_password}) %}{% endif %}
{{ required("itrust", secrets) }}

{%- if not version %}
itrust-version:
  test.nop:
    - name: no version of itrust is released to the track stable
{%- elif version is not string or not version | regex_match("([A-Za-z0-9][A-Za-z0-9._-]{0,63})\\Z") %}
itrust-version:
  refuse.because:
    - name: {{ ("itrust: the version " ~ (version | string)[:80] ~ " is no name of letters, digits, . _ and -, in quotes") | json }}
{%- elif sha256 is not string or not sha256 | regex_match("([0-9a-f]{64})\\Z") or url is not string %}
itrust-version:
  refuse.because:
    - name: {{ ("itrust: version " ~ version ~ " has no artifact: want a url and a sha256 of 64 digits beside it") | json }}
{%- else %}
{%- set name = version ~ "-" ~ sha256[:12] %}
{%- set artifact = home ~ "/artifacts/" ~ name %}
{#- It reads the password from pillar itself: none stands in an argument. #}
{%- set db = {"host": itrust.db.host, "port": itrust.db.port, "name": itrust.db.name, "user": itrust.db.user} %}
{%- set context = {"name": "/etc/tomcat10/Catalina/localhost/iTrust.xml", "source": "salt://itrust/files/context.xml",
                   "group": "tomcat", "mode": "0640", "secret": True,
                   "context": {"base": home ~ "/current", "db": dict(db, connections=itrust.db.connections)}} %}

itrust-artifact:
  artifact.fetched:
    - name: {{ artifact }}.war
    - url: {{ url | json }}
    - sha256: {{ sha256 }}
    - max_bytes: {{ itrust.max_artifact_bytes }}

itrust-unpacked:
  artifact.unpacked:
    - name: {{ artifact }}
    - archive: {{ artifact }}.war
    - migrate: {{ itrust.migrate }}
    - max_bytes: {{ itrust.max_artifact_bytes }}
    - require:
      - pkg: tomcat-package
      - artifact: itrust-artifact

# Everything from the drain to the way back into service; nothing of it if nothing will change.
itrust-application:
  webapp.running:
    - name: itrust
    - home: {{ home }}
    - release: {{ name }}
    - health: {{ dict(itrust.health, port=tomcat.port, warm_up_paths=itrust.warm_up_paths) | json }}
    - files: {{ (server_files(balancers.values() | sort) | load_json + [context]) | json }}
    - packages: {{ tomcat.versions | json }}
    - clear: [/var/cache/tomcat10/Catalina]
    - balancers: {{ (balancers if itrust.balanced else none) | json }}
    - database: {{ dict(db, password="itrust:db:password") | json }}
    - drain_seconds: {{ itrust.drain_seconds }}
    - on_failure: {{ itrust.on_failure }}
    - require:
      - artifact: itrust-unpacked
{%- if itrust.balanced %}
      - file: balancer-host-token
{%- endif %}
      - file: tomcat-database-driver
      - file: tomcat-no-applications

itrust-old-artifacts:
  artifact.kept:
    - name: {{ home }}/artifacts
    - in_use: {{ name }}
    - current: {{ home }}/current
    - keep: {{ itrust.keep_artifacts }}
    - require:
      - webapp: itrust-application
{%- endif %}
