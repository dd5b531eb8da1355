#!jinja|yaml|gpg
# The host's own token, and nobody else's. The id in opts is the one that the master knows the key of.
{%- import_yaml "secrets/host_tokens.sls" as all %}
balancer_host_token: {{ all.host_tokens.get(opts.id, "") | json }}
