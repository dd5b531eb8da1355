{#- release/<service>/alert: somebody says the canary is bad.
    The event is handed over as JSON text inside one quoted ASCII scalar (hence tojson twice): whatever the
    sender wrote, YAML sees a single string. The runner decides what it is worth. -#}
raise-alert:
  runner.release.alert:
    - args:
        - event: {{ {"tag": tag, "data": data} | tojson | tojson }}
