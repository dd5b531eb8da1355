{#- Update a service on all its hosts, batch by batch, without users noticing.

        salt-run state.orchestrate rolling pillar='{"service": "itrust"}'
        salt-run state.orchestrate rolling pillar='{"service": "itrust", "version": "20261124101500-0a1b2c3"}'

    Every decision is made by the release runner. An SLS renders once, before its first step, so the loop over
    the batches is one step. See docs/reference/release.md. -#}
{%- set service = pillar.get("service") %}
{%- set version = pillar.get("version") %}

Check that the roll can begin:
  salt.runner:
    - name: release.roll_check
    - service: {{ service | json }}
    - version: {{ version | json }}
    - failhard: True

Open the roll in the ledger:
  salt.runner:
    - name: release.roll_start
    - service: {{ service | json }}
    - version: {{ version | json }}
    - failhard: True

Update the hosts, batch by batch:
  salt.runner:
    - name: release.roll
    - service: {{ service | json }}
    - failhard: True

Let every later highstate run the version:
  salt.runner:
    - name: release.roll_finish
    - service: {{ service | json }}
    - failhard: True
