# The Salt master of a fleet, from a checkout of this repository on the same machine.
{%- from "master/map.jinja" import master, api with context %}
{%- import_yaml "master/release.yaml" as release_defaults %}
{%- set release = salt["pillar.get"]("release_settings", default=release_defaults, merge=True) %}
{%- from "secrets.jinja" import required %}
{%- from "master/redis.jinja" import redis, passwords with context %}
{%- set secrets = {"release_settings:alert_token": release.alert_token} %}
{%- for name, password in passwords | dictsort %}{% do secrets.update({"redis:users:" ~ name ~ ":password": password}) %}{% endfor %}
{%- for name, user in (api.users or {}) | dictsort %}{% do secrets.update({"salt_api:users:" ~ name ~ ":password": user.password}) %}{% endfor %}
{{ required("master", secrets) }}
include:
  - master.api
  - master.backup
{%- if release.redis is defined %}

master-pillar:
  refuse.because:
    - name: "pillar release_settings:redis is not read any more: its host belongs to redis:servers, its password is redis:users:release:password; move them and take it out, see docs/reference/pillar.md"
    - order: first
    - failhard: True
{%- endif %}

{%- for name in ["roots", "nodegroups", "sluice", "reactor", "engines"] %}
master-config-{{ name }}:
  file.managed:
    - name: /etc/salt/master.d/{{ name }}.conf
    - source: {{ master.checkout }}/conf/master.d/{{ name }}.conf
    - template: jinja
    - context: {{ {"checkout": master.checkout, "published": master.published, "environment": master.environment} | json }}
    - mode: '0644'
    - watch_in:
      - service: master-service
      {%- if api.users %}
      - service: master-api-service
      {%- endif %}
{%- endfor %}

{%- for source, name in [("conf/minion.d/sluice.conf", "minion.d/sluice.conf"), ("requirements/balancer.lock", "balancer/requirements.lock"), ("requirements/mongodb-lab.lock", "mongodb/requirements.lock"), ("tests/apps/jenkins/stand_in.py", "jenkins/stand_in/stand_in.py"), ("tests/apps/jenkins/jobs.py", "jenkins/stand_in/jobs.py"), ("tests/apps/jenkins/builds.py", "jenkins/stand_in/builds.py")] %}
master-publishes-{{ name }}:
  file.managed:
    - name: {{ master.published }}/{{ name }}
    - source: {{ master.checkout }}/{{ source }}
    - makedirs: True
{%- endfor %}

master-build-tool:
  file.managed:
    - name: /usr/local/lib/sluice/publish-balancer
    - source: salt://master/files/publish-balancer
    - makedirs: True
    - mode: '0755'

# The balancer's package reaches its machines as a wheel.
master-balancer-wheel:
  cmd.run:
    - name: /usr/local/lib/sluice/publish-balancer {{ grains["pythonexecutable"] }} {{ master.checkout }} {{ master.published }}/balancer
    - unless: /usr/local/lib/sluice/publish-balancer --check {{ master.checkout }} {{ master.published }}/balancer
    - require:
      - file: master-build-tool
      - file: master-publishes-balancer/requirements.lock

master-state-directory:
  file.directory:
    - name: /var/lib/sluice
    - mode: '0750'

master-release-settings:
  file.serialize:
    - name: /etc/sluice/release.json
    - dataset: {{ dict(release, redis=redis) | json }}
    - serializer: json
    - makedirs: True
    - mode: '0600'
    - dir_mode: '0755'
    - show_changes: False
    {%- if api.users %}
    - require_in:
      - service: master-api-service
    {%- endif %}

master-service:
  service.running:
    - name: salt-master
    - enable: True
    - require:
      - file: master-release-settings

# The minion on the master itself, so that the fleet's highstate covers it.
master-minion-service:
  service.running:
    - name: salt-minion
    - enable: True
    - require:
      - service: master-service
