{#- Update a service on all its hosts, batch by batch, without users noticing.

        salt-run state.orchestrate rolling pillar='{"service": "itrust"}'
        salt-run state.orchestrate rolling pillar='{"service": "itrust", "version": "20261124101500-0a1b2c3"}'
        salt-run state.orchestrate rolling pillar='{"service": "itrust"}' test=True

    Every decision is made by the release runner. An SLS renders once, before its first step, so the loop over
    the batches is one step. With test=True nothing is changed, and a step before the others tells what would
    be. See docs/reference/release.md. -#}
{%- set service = pillar.get("service") %}
{%- set version = pillar.get("version") %}

{%- if opts["test"] %}
{#- It is a dict, or the line that says why there is no plan. #}
{%- set plan = salt["saltutil.runner"]("release.plan", service=service, version=version) %}
{%- set problem = plan["problems"] | join("; ") if plan is mapping else plan %}

Tell what the roll would do:
{%- if problem %}
  refuse.because:
    - name: {{ problem | json }}
{%- else %}
  test.show_notification:
    - text: {{ plan | yaml(False) | json }}
{%- endif %}
{%- endif %}

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
