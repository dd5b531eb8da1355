{#- sluice/pillar/changed: somebody edited pillar. The balancers take what is new, or refuse it and keep
    what they have. -#}
apply-pillar-to-the-balancers:
  local.state.apply:
    - tgt: N@balancer
    - tgt_type: compound
    - args:
        - mods: balancer
        - queue: True
