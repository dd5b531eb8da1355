"""The demo: a fleet, a canary, alerts through three doors, a new ratio; and no request failed."""
