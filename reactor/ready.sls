{#- sluice/master/ready: the first reaction after a start loads Salt's runners for 300 ms and more. Let this
    be it, and not the first alert. -#}
be-ready-for-the-first-alert:
  runner.release.ready: []
