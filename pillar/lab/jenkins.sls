{%- import_yaml "addresses.sls" as fleet %}
{%- set addresses = fleet.lab.addresses %}
jenkins:
  provider: stand_in
  lab: true          # stand_in is refused without it
  bind: 0.0.0.0
  junit: true
  # The first push builds it: a build reports to the master, which would begin a roll in the middle of a highstate.
  verify_job: false
  job:
    repository: git://{{ addresses["git-1"] }}/itrust
    artifacts_url: http://{{ addresses["jenkins-1"] }}:8081/
  report:
    url: http://{{ addresses["master"] }}:8000
