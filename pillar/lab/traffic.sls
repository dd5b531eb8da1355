# Each service's share per track, in percent, summing to 100. Save, and the balancers follow by themselves.
traffic:
  checkbox:
    stable: 70
    canary: 30
  itrust:
    stable: 100
