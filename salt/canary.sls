{#- Ship a new version of a service to its canary host and give it its share of the traffic.

        salt-run state.orchestrate canary
        salt-run state.orchestrate canary pillar='{"service": "checkbox", "version": "v2"}'

    Every decision is made by the release runner; a step that fails ends the release, keeps the canary
    drained, says why and stops the story. See docs/reference/release.md. -#}
{%- set default = pillar.get("canary", {}) %}
{%- set service = pillar.get("service", default.get("service")) %}
{%- set version = pillar.get("version", default.get("version")) %}
{#- What the first step refuses has no settings; it never comes to the installation. #}
{%- set known = pillar.get("release_settings", {}).get("services", {}).get(service | string, {}) %}

Check that everything is ready:
  salt.runner:
    - name: release.check
    - service: {{ service | json }}
    - version: {{ version | json }}
    - failhard: True

Open the release in the ledger:
  salt.runner:
    - name: release.start
    - service: {{ service | json }}
    - version: {{ version | json }}
    - failhard: True

Keep traffic away from the canary host:
  salt.runner:
    - name: release.drain
    - service: {{ service | json }}
    - failhard: True

Install the version on the canary host:
  salt.state:
    - tgt: {{ known.get("canary", "nobody") | json }}
    - tgt_type: compound
    - sls: {{ known.get("state", service) | json }}
    - queue: True

If the installation fails, end the release and say why:
  salt.runner:
    - name: release.fail
    - service: {{ service | json }}
    - onfail:
        - salt: Install the version on the canary host
    - failhard: True

Wait until the canary is healthy and good enough:
  salt.runner:
    - name: release.verify
    - service: {{ service | json }}
    - failhard: True

Give the canary its share of the traffic:
  salt.runner:
    - name: release.admit
    - service: {{ service | json }}
    - failhard: True

Verify at the balancers that the share is in force:
  salt.runner:
    - name: release.confirm
    - service: {{ service | json }}
    - failhard: True
