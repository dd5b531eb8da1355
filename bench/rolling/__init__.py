"""A roll of five hosts beside Ansible's `serial: 1` and a bare batch of Salt."""
