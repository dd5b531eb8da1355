"""The forges whose webhooks are taken, as their requests prove where they come from."""

import hashlib
import hmac

SECRETS = {forge: f"not-a-secret-of-{forge}" for forge in ("github", "gitlab", "gitea")}


def proof(forge, body, secret=None):
    """The headers with which the forge proves that it is it; made here without the code under test."""
    secret = SECRETS[forge] if secret is None else secret
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "github": {"X-Hub-Signature-256": f"sha256={digest}"},
        "gitea": {"X-Gitea-Signature": digest},
        "gitlab": {"X-Gitlab-Token": secret},
    }[forge]
