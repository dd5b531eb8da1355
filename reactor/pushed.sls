{#- salt/netapi/hook/release/<service>/pushed/<forge>: a git host says what was pushed. As built.sls. -#}
build-what-was-pushed:
  runner.release.pushed:
    - args:
        - event: {{ data | tojson | tojson }}
