"""Pushes as the forges document them, cut to the fields that are read and some that must not disturb."""

import json
from copy import deepcopy

REPOSITORY = "https://git.example.com/itrust.git"
BEFORE, AFTER = "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "59b20b8d5c6ff8d09518216e87c3d2ba80fc1d2b"
ZERO = "0" * 40
COMMIT = {"id": AFTER, "message": "Log in faster", "timestamp": "2026-11-24T10:15:00+01:00"}

PUSHES = {
    # docs.github.com, "Webhook events and payloads", push.
    "github": {
        "ref": "refs/heads/main", "before": BEFORE, "after": AFTER, "created": False, "deleted": False,
        "forced": False, "base_ref": None, "compare": f"https://git.example.com/compare/{AFTER}",
        "commits": [COMMIT], "head_commit": COMMIT,
        "repository": {"id": 186853002, "name": "itrust", "full_name": "hospital/itrust", "private": True,
                       "html_url": "https://git.example.com/itrust", "clone_url": REPOSITORY,
                       "ssh_url": "git@git.example.com:itrust.git", "default_branch": "main"},
        "pusher": {"name": "codertocat", "email": "c@example.com"}, "sender": {"login": "codertocat"},
    },
    # docs.gitlab.com, "Webhook events", push events.
    "gitlab": {
        "object_kind": "push", "event_name": "push", "before": BEFORE, "after": AFTER, "checkout_sha": AFTER,
        "ref": "refs/heads/main", "ref_protected": True, "user_id": 4, "user_name": "John Smith",
        "user_username": "jsmith", "user_email": "john@example.com", "project_id": 15,
        "project": {"id": 15, "name": "itrust", "web_url": "https://git.example.com/itrust",
                    "git_ssh_url": "git@git.example.com:itrust.git", "git_http_url": REPOSITORY,
                    "default_branch": "main", "ci_config_path": None},
        "commits": [COMMIT], "total_commits_count": 1,
        "repository": {"name": "itrust", "url": "git@git.example.com:itrust.git", "visibility_level": 0},
    },
    # docs.gitea.com, "Webhooks", event information.
    "gitea": {
        "ref": "refs/heads/main", "before": BEFORE, "after": AFTER, "compare_url": "https://git.example.com/c",
        "commits": [COMMIT],
        "repository": {"id": 140, "owner": {"id": 1, "login": "gitea"}, "name": "itrust", "private": False,
                       "html_url": "https://git.example.com/itrust", "clone_url": REPOSITORY,
                       "ssh_url": "ssh://git@git.example.com/itrust.git", "default_branch": "main"},
        "pusher": {"id": 1, "login": "gitea", "username": "gitea"}, "sender": {"id": 1, "login": "gitea"},
    },
}  # fmt: skip
EVENTS = {"github": ("X-Github-Event", "push"), "gitlab": ("X-Gitlab-Event", "Push Hook"),
          "gitea": ("X-Gitea-Event", "push")}  # fmt: skip


def payload(forge, **changes):
    """The body of a push webhook, as bytes."""
    return json.dumps(deepcopy(PUSHES[forge]) | changes).encode()
