"""Affinity in the balancer state: its secret in a file of its own, its release from the ledger."""

SECRET = "lab-fake-affinity-secret-of-the-tests"


def pillar(secret=SECRET):
    return {
        "balancer": {"services": {"checkbox": {"affinity": {"kind": "cookie"}}}, "affinity_secret": secret}
    }


def low_of(one):
    return one.modules["state.show_low_sls"]("balancer", pillar=one.opts["pillar_override"])


def find(low, id_):
    return next((chunk for chunk in low if chunk["__id__"] == id_), None)


def test_the_secret_lands_in_a_file_that_the_balancer_alone_can_read(machine):
    low = low_of(machine("lb-1", extra_pillar=pillar()))
    told = find(low, "balancer-affinity-secret-file")
    assert (told["name"], told["contents"]) == ("/etc/sluice/affinity.secret", SECRET)
    assert (told["user"], told["mode"], told["show_changes"]) == ("sluice", "0400", False)
    assert SECRET not in str([chunk for chunk in low if chunk is not told])


def test_without_affinity_there_is_no_file(machine):
    assert find(low_of(machine("lb-1")), "balancer-affinity-secret-file") is None


def test_an_empty_secret_is_refused_where_a_service_has_affinity(machine):
    low = low_of(machine("lb-1", extra_pillar=pillar(secret="")))
    (refused,) = [chunk["name"] for chunk in low if chunk["state"] == "refuse"]
    assert refused.startswith("pillar balancer:affinity_secret is empty; put a secret of your own there")


def test_the_state_is_told_the_releases_of_the_ledger(machine):
    low = low_of(machine("lb-1", extra_pillar=pillar()))
    assert find(low, "balancer-config")["releases"] == {"checkbox": {"id": None}}
