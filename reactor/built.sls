{#- salt/netapi/hook/release/<service>/built: a build server says what it has built. Any minion can fire this tag:
    the runner looks at the seal of the master's own door and at nothing that is not sealed. -#}
roll-what-was-built:
  runner.release.built:
    - args:
        - event: {{ data | tojson | tojson }}
