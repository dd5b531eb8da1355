"""The real iTrust, from a repository of your choice, through the same states: `make test-upstream`."""
