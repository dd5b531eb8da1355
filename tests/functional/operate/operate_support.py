"""What the machines of a test fleet are told."""

from tests.support.redis_fleet import password


def pillar_of(fleet, user):
    """The pillar of a machine that has the password of one user."""
    users = {user: {"password": password(user)}}
    return {"redis": {"servers": dict(fleet.hosts), "port": fleet.port, "ha": "none", "users": users}}
