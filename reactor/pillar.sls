{#- sluice/pillar/changed: somebody edited pillar. The balancers take what is new, or refuse it and keep
    what they have; a refusal is in the master's log. -#}
give-the-balancers-what-is-new:
  runner.release.push: []
