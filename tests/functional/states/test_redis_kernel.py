"""redis_server.kernel: in force and kept, or said why not."""

import pytest

WANTED = {"vm.overcommit_memory": 1, "net.core.somaxconn": 1024}


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("redis-1")


@pytest.fixture
def kernel(loaded, tmp_path):
    """kernel(overcommit, somaxconn): a kernel with these values, and the state on it."""

    def make(**values):
        places = {"overcommit": "vm/overcommit_memory", "somaxconn": "net/core/somaxconn"}
        for name, value in values.items():
            (tmp_path / places[name]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / places[name]).write_text(f"{value}\n")

        def apply(test=False):
            file = str(tmp_path / "sysctl.d/60-redis.conf")
            more = {"name": file, "settings": WANTED, "proc": str(tmp_path)}
            return loaded.apply("redis_server.kernel", test=test, **more)

        return apply

    return make


def test_settings_are_in_force_at_once_and_after_the_next_boot(kernel, tmp_path):
    apply = kernel(overcommit=0, somaxconn=128)
    planned, made = apply(test=True), apply()
    assert planned["result"] is None
    assert planned["changes"] == made["changes"]
    assert made["changes"]["net.core.somaxconn"] == {"old": 128, "new": 1024}
    assert (tmp_path / "vm/overcommit_memory").read_text() == "1\n"
    assert "vm.overcommit_memory = 1\n" in (tmp_path / "sysctl.d/60-redis.conf").read_text()
    assert (apply()["result"], apply()["changes"]) == (True, {})


def test_a_longer_queue_is_never_made_shorter(kernel, tmp_path):
    apply = kernel(overcommit=1, somaxconn=4096)
    assert set(apply()["changes"]) == {"file"}
    assert (tmp_path / "net/core/somaxconn").read_text() == "4096\n"


def test_a_machine_that_may_not_set_them_says_so_and_does_not_fail(kernel):
    apply = kernel(somaxconn=4096)
    made = apply()
    assert made["result"] is True
    assert made["comment"].startswith(
        "this machine may not set vm.overcommit_memory, which is not there (want 1): a container"
    )
    assert set(made["changes"]) == {"file"}
