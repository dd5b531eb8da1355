"""The execution module `flag` on Redis hosts and on an application's host, against real Redis servers."""

import datetime
import itertools
import json
import threading
from pathlib import Path

import pytest
from operate_support import pillar_of
from salt.exceptions import CommandExecutionError, SaltInvocationError
from sluice_errors import ReleaseError
from sluice_flag_orders import Flags, NotEverywhere
from sluice_flag_store import Wanted, change
from sluice_flag_watch import Watch
from sluice_redis import Redis

from tests.support.redis_fleet import password, wait_for


@pytest.fixture
def redis_1(fleet, minion):
    return minion(fleet, "redis-1")


@pytest.fixture
def checkbox_1(fleet, minion):
    return minion(fleet, "checkbox-1")


def refused(minion, function, *args, **kwargs):
    """The message of an order that is refused."""
    with pytest.raises(CommandExecutionError) as caught:
        minion.call(function, *args, **kwargs)
    return str(caught.value)


def everything(fleet, id_="redis-1"):
    """Every key with its value, to see that nothing was written."""
    found = {}
    for key in sorted(fleet.call(id_, "KEYS", "*")):
        kind = fleet.call(id_, "TYPE", key)
        words = ("GET", key) if kind == "string" else ("LRANGE", key, "0", "-1")
        found[key] = fleet.call(id_, *words)
    return found


def test_a_new_flag_is_a_plain_redis_string_on_every_server(fleet, redis_1):
    done = redis_1.call("flag.set", "key1", 1, new=True, wait=True)
    assert [fleet.call(id_, "GET", "key1") for id_ in fleet.hosts] == ["1", "1", "1"]
    assert (done["value"], done["was"], done["changed"], done["master"]) == ("1", None, True, "redis-1")
    assert set(done["servers_ms"]) == {"redis-1", "redis-2", "redis-3"}
    assert 0 < max(done["servers_ms"].values()) <= done["ms"]


def test_a_change_is_acknowledged_by_a_replica(redis_1):
    assert redis_1.call("flag.set", "key1", 1, new=True)["replicas"] >= 1


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (1, "1"), ("1", "1"), (True, "1"), ("on", "1"), ("On", "1"), ("true", "1"), ("TRUE", "1"),
        (0, "0"), ("0", "0"), (False, "0"), ("off", "0"), ("false", "0"),
    ],
)  # fmt: skip
def test_on_and_off_may_be_written_in_these_ways(fleet, redis_1, given, stored):
    redis_1.call("flag.set", "key1", given, new=True)
    assert fleet.call("redis-1", "GET", "key1") == stored


@pytest.mark.parametrize(
    "given", [2, -1, 1.0, "2", "", "yes please", None, [], [1], {"a": 1}, "1\n", "x" * 10_000, "blue"]
)
def test_any_other_value_is_refused_and_nothing_is_written(fleet, redis_1, given):
    fleet.call("redis-1", "SET", "key1", "0")
    said = refused(redis_1, "flag.set", "key1", given)
    assert "key1" in said and "want 1 or 0 (on, off, true, false)" in said
    assert len(said) < 200
    assert everything(fleet) == {"key1": "0"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad name", "not a flag's name"),
        ("key\n1", "not a flag's name"),
        ("", "not a flag's name"),
        ("1key", "not a flag's name"),
        ("a:b", "not a flag's name"),
        ("kéy", "not a flag's name"),
        ("x" * 10_000, "not a flag's name"),
        ("x" * 65, "not a flag's name"),
        (1, "not a flag's name"),
        (True, "not a flag's name"),
        (None, "not a flag's name"),
        (["key1"], "not a flag's name"),
        ("sluice:alert:checkbox", "a key of Sluice itself, not a flag; alerts are cleared with"),
        ("sluice:flag:key1", "a key of Sluice itself, not a flag"),
        ("sluice:term", "a key of Sluice itself, not a flag"),
    ],
)
def test_a_bad_name_is_refused_by_every_order(fleet, redis_1, name, said):
    orders = {
        "set": (1,),
        "describe": ("me",),
        "rules": ({},),
        "delete": (),
        "get": (),
        "history": (),
        "wait": (1,),
    }
    for order, more in orders.items():
        answer = refused(redis_1, f"flag.{order}", name, *more)
        assert said in answer
        assert len(answer) < 300 and answer.isprintable()
    assert "not a flag" in refused(redis_1, "flag.watch", name)
    assert everything(fleet) == {}


def test_an_unknown_flag_is_refused_with_the_names_that_look_like_it(fleet, redis_1):
    redis_1.call("flag.set", "checkout", 1, new=True)
    redis_1.call("flag.describe", "checkpoint", owner="me")
    before = everything(fleet)
    for order in (("set", "chekout", 1), ("delete", "chekout"), ("get", "chekout"), ("history", "chekout")):
        said = refused(redis_1, f"flag.{order[0]}", *order[1:])
        assert "There is no flag chekout. Did you mean checkout or checkpoint?" in said
    assert "To make a new one: salt-run flags.set chekout 1 new=True" in refused(
        redis_1, "flag.set", "chekout", 1
    )
    assert everything(fleet) == before


def test_the_same_value_again_writes_nothing(fleet, redis_1):
    redis_1.call("flag.set", "key1", 1, new=True)
    before = everything(fleet)
    done = redis_1.call("flag.set", "key1", "on")
    assert (done["changed"], done["value"], done["was"]) == (False, "1", "1")
    assert everything(fleet) == before


def test_the_history_tells_who_changed_what_when(redis_1):
    redis_1.call("flag.set", "key1", 0, new=True, __pub_user="sudo_alice")
    redis_1.call("flag.set", "key1", 1, __pub_user="bob")
    redis_1.call("flag.describe", "key1", owner="pictures", __pub_user="bob")
    redis_1.call("flag.delete", "key1", __pub_user="carol")
    found = redis_1.call("flag.history", "key1")
    assert [(one["by"], one["what"], one["from"], one["to"]) for one in found] == [
        ("carol@redis-1", "delete", "1", None),
        ("bob@redis-1", "describe", {}, {"owner": "pictures"}),
        ("bob@redis-1", "set", "0", "1"),
        ("sudo_alice@redis-1", "set", None, "0"),
    ]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert all(one["at"].startswith(today) and one["at"].endswith("Z") for one in found)


def test_who_changed_it_is_cleaned(fleet, redis_1):
    redis_1.call("flag.set", "key1", 1, new=True, __pub_user="\x1b[31mroot\n\u202e" + "x" * 10_000)
    (entry,) = redis_1.call("flag.history", "key1")
    assert entry["by"].isprintable() and len(entry["by"]) < 120
    assert entry["by"].startswith("?[31mroot??x")


def test_the_history_holds_100_entries(fleet, redis_1):
    for at in range(103):
        redis_1.call("flag.set", "key1", at % 2, new=True)
    assert fleet.call("redis-1", "LLEN", "sluice:history:key1") == 100
    assert len(redis_1.call("flag.history", "key1")) == 100


def test_the_history_of_a_deleted_flag_stays_for_90_days(fleet, redis_1):
    redis_1.call("flag.set", "key1", 1, new=True)
    redis_1.call("flag.describe", "key1", owner="me")
    redis_1.call("flag.delete", "key1")
    assert list(everything(fleet)) == ["sluice:history:key1"]
    assert 0 < fleet.call("redis-1", "TTL", "sluice:history:key1") <= 90 * 86400
    redis_1.call("flag.set", "key1", 1, new=True)
    assert fleet.call("redis-1", "TTL", "sluice:history:key1") == -1
    assert len(redis_1.call("flag.history", "key1")) == 4


def test_a_flag_that_is_deleted_is_unknown_to_set_and_delete(redis_1):
    redis_1.call("flag.set", "key1", 1, new=True)
    redis_1.call("flag.delete", "key1")
    assert "There is no flag key1" in refused(redis_1, "flag.set", "key1", 1)
    assert "There is no flag key1" in refused(redis_1, "flag.delete", "key1")
    assert redis_1.call("flag.get", "key1")["value"] is None
    assert redis_1.call("flag.list") == {}


def test_what_redis_cli_sets_is_a_flag_and_shows_as_changed_outside(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "1", user="operator")
    assert redis_1.call("flag.list")["key1"]["outside"] is True
    redis_1.call("flag.set", "key1", 0)
    assert redis_1.call("flag.get", "key1")["outside"] is False
    redis_1.call("flag.describe", "key1", owner="me")
    assert redis_1.call("flag.list")["key1"]["outside"] is False
    fleet.call("redis-1", "SET", "key1", "1", user="operator")
    assert redis_1.call("flag.list")["key1"]["outside"] is True
    first, second, *_ = redis_1.call("flag.history", "key1")
    assert first == {"at": None, "by": "redis-cli or another program", "what": "set", "from": "0", "to": "1"}
    assert second["what"] == "describe"


def test_describe_changes_what_it_is_given_and_keeps_the_rest(fleet, redis_1):
    redis_1.call("flag.describe", "key1", owner="me", description="a picture", expires="2027-03-31")
    redis_1.call("flag.describe", "key1", expires="", owner="you")
    told = redis_1.call("flag.get", "key1")
    assert (told["value"], told["owner"], told["description"]) == (None, "you", "a picture")
    assert "expires" not in told
    document = json.loads(fleet.call("redis-1", "GET", "sluice:flag:key1"))
    assert document == {"owner": "you", "description": "a picture"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"expires": "tomorrow"}, "expires"),
        ({"expires": "2027-02-30"}, "expires"),
        ({"expires": 20270331}, "expires is 20270331, want a day as YYYY-MM-DD"),
        ({"owner": ["me"]}, "owner is ['me'], want text"),
        ({"owner": "two\nlines"}, "owner"),
        ({"description": "x" * 2000}, "description"),
        ({"owner": "\ud800"}, "owner"),
    ],
)
def test_a_bad_description_is_refused_and_nothing_is_written(fleet, redis_1, given, said):
    answer = refused(redis_1, "flag.describe", "key1", **given)
    assert "key1" in answer and said in answer and len(answer) < 300
    assert everything(fleet) == {}


def test_a_flag_is_stale_from_its_day_on(redis_1):
    today = datetime.datetime.now(datetime.UTC).date()
    for name, day in (("past", today - datetime.timedelta(1)), ("future", today + datetime.timedelta(2))):
        redis_1.call("flag.describe", name, expires=day.isoformat())
    told = redis_1.call("flag.list")
    assert (told["past"]["stale"], told["future"]["stale"]) == (True, False)


def test_rules_and_variants_are_kept_and_removed(redis_1):
    redis_1.call("flag.rules", "key1", {"match": [{"percentage": 10}]})
    told = redis_1.call("flag.get", "key1")
    assert (told["rules"], told["value"]) == ({"match": [{"percentage": 10}]}, None)
    redis_1.call("flag.rules", "key1", {}, {"off": "", "red": "#f00"})
    told = redis_1.call("flag.get", "key1")
    assert "rules" not in told
    assert told["variants"] == {"off": "", "red": "#f00"}
    assert redis_1.call("flag.history", "key1")[0]["what"] == "rules"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rules": {"match": [{"percentage": 101}]}}, "rules.match[0].percentage"),
        ({"rules": {"deny": ["alice"], "allow": ["alice"]}}, "rules.allow: "),
        ({"rules": {"percentage": 10}}, "rules.percentage: unknown key"),
        ({"rules": "10%"}, "rules is '10%', want an object"),
        ({"rules": []}, "rules is [], want an object"),
        ({"variants": {"red": 1}}, "variants: no off"),
        ({"variants": ["red"]}, "variants is ['red'], want an object"),
        ({"rules": {"default": "pink"}, "variants": {"off": "", "red": "x"}}, "rules.default"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_their_place(fleet, redis_1, given, said):
    fleet.call("redis-1", "SET", "key1", "1")
    answer = refused(redis_1, "flag.rules", "key1", **given)
    assert "key1" in answer and said in answer
    assert everything(fleet) == {"key1": "1"}


def test_a_flag_may_have_the_value_of_a_variant_it_declares(fleet, redis_1):
    redis_1.call("flag.rules", "key1", variants={"off": "", "on": "x", "red": "#f00"})
    assert redis_1.call("flag.set", "key1", "red")["value"] == "red"
    assert redis_1.call("flag.set", "key1", "on")["value"] == "on"
    assert redis_1.call("flag.set", "key1", 0)["value"] == "0"
    for wrong in ("blue", 2, True, False):
        said = refused(redis_1, "flag.set", "key1", wrong)
        assert "red" in said and "key1" in said
    assert fleet.call("redis-1", "GET", "key1") == "0"


def test_variants_cannot_lose_the_one_that_is_set(fleet, redis_1):
    redis_1.call("flag.rules", "key1", variants={"off": "", "red": "#f00"})
    redis_1.call("flag.set", "key1", "red")
    before = everything(fleet)
    assert "'red', want one of" in refused(
        redis_1, "flag.rules", "key1", variants={"off": "", "blue": "#00f"}
    )
    assert everything(fleet) == before


def test_rules_that_give_the_value_its_meaning_cannot_be_removed(fleet, redis_1):
    redis_1.call("flag.rules", "key1", {"default": "red"}, {"off": "", "red": "#f00"})
    redis_1.call("flag.set", "key1", 1)
    before = everything(fleet)
    assert "'1', want one of" in refused(redis_1, "flag.rules", "key1", {})
    assert everything(fleet) == before


def test_a_value_that_was_never_declared_does_not_stand_in_the_way_of_rules(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "nonsense")
    assert redis_1.call("flag.rules", "key1", {"match": [{"percentage": 10}]})["changed"] is True


def test_what_a_refusal_repeats_of_an_order_is_short_and_printable(fleet, redis_1):
    said = refused(redis_1, "flag.set", "key1", "\x1b[2J" + "x" * 10_000)
    assert "There is no flag key1" in said and said.isprintable() and len(said) < 1200


def test_a_flag_can_be_turned_off_though_its_document_is_broken(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "red")
    fleet.call("redis-1", "SET", "sluice:flag:key1", '{"rules": {"nonsense": 1}, "variants": {"off": 1}}')
    assert "rules.nonsense" in refused(redis_1, "flag.set", "key1", "off")
    redis_1.call("flag.set", "key1", 0)
    assert fleet.call("redis-1", "GET", "key1") == "0"


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "1", '"x"', "\x00", "[" * 100_000, '{"owner": "' + "x" * 70_000 + '"}', "{" * 2_000_000],
)
def test_a_document_that_is_none_is_told_and_can_be_written_anew(fleet, redis_1, text):
    fleet.call("redis-1", "SET", "sluice:flag:key1", text)
    assert "its document" in redis_1.call("flag.list")["key1"]["problem"]
    redis_1.call("flag.set", "key1", 1)
    assert fleet.call("redis-1", "STRLEN", "sluice:flag:key1") == len(text)
    redis_1.call("flag.describe", "key1", owner="me")
    assert "problem" not in redis_1.call("flag.get", "key1")
    redis_1.call("flag.delete", "key1")
    assert list(everything(fleet)) == ["sluice:history:key1"]


def test_history_that_is_none_is_left_out(fleet, redis_1):
    redis_1.call("flag.set", "key1", 1, new=True)
    for junk in ("{", "[]", '{"what": "set"}', '{"what": "x", "at": 1}', '{"what": "set", "at": 1e300}'):
        fleet.call("redis-1", "LPUSH", "sluice:history:key1", junk)
    evil = json.dumps({"at": 1, "by": "\x1b]0;x\x07", "what": "set", "from": "0", "to": "\x1b[2J"})
    fleet.call("redis-1", "RPUSH", "sluice:history:key1", evil)
    found = redis_1.call("flag.history", "key1")
    assert [one["what"] for one in found] == ["set", "set"]
    assert (found[1]["by"], found[1]["to"]) == ("?]0;x?", "?[2J")
    fleet.call("redis-1", "SET", "key1", "\x1b[2J")
    assert redis_1.call("flag.get", "key1")["value"] == "?[2J"


@pytest.mark.parametrize("key", ["key1", "sluice:flag:key1", "sluice:history:key1"])
def test_a_key_of_another_type_is_refused_and_nothing_is_written(fleet, redis_1, key):
    words = ("RPUSH", key, "x") if key != "sluice:history:key1" else ("SET", key, "x")
    fleet.call("redis-1", *words)
    before = everything(fleet)
    kind = "string" if key == "sluice:history:key1" else "list"
    for order in (("set", "key1", 1, ("new", True)), ("describe", "key1", "me"), ("delete", "key1")):
        named = dict(word for word in order if isinstance(word, tuple))
        said = refused(
            redis_1, f"flag.{order[0]}", *(w for w in order[1:] if not isinstance(w, tuple)), **named
        )
        if "There is no flag" not in said:
            assert f"the key {key} in Redis holds a {kind}, which is no part of a flag" in said
            assert f"redis-cli DEL {key}" in said
    assert everything(fleet) == before
    assert "another type" in redis_1.call("flag.list").get("key1", {"problem": "another type"})["problem"]


def test_two_operators_at_once_both_stand_in_the_history(fleet, minion, redis_1):
    redis_1.call("flag.set", "key1", 0, new=True)
    errors = []

    def flip(user):
        try:
            for value in (1, 0) * 10:
                redis_1.call("flag.set", "key1", value, __pub_user=user)
        except CommandExecutionError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=flip, args=(user,)) for user in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever lost five times in a row was told so; nobody's change was lost or is told wrongly.
    assert all("by others 5 times" in error for error in errors)
    found = redis_1.call("flag.history", "key1")
    for newer, older in zip(found, found[1:], strict=False):
        assert newer["from"] == older["to"]
    assert found[0]["to"] == fleet.call("redis-1", "GET", "key1")


@pytest.mark.parametrize(
    ("order", "command"),
    [
        (("set", "key1", 1), "set key1 1"),
        (("describe", "key1", "two words"), "describe key1 'owner=two words'"),
        (("rules", "key1", {"default": "on"}), """rules key1 'rules={"default": "on"}'"""),
        (("delete", "key1"), "delete key1"),
    ],
)
@pytest.mark.parametrize(
    ("id_", "what"), [("redis-2", "redis-2 is a replica"), ("checkbox-1", "checkbox-1 has no Redis")]
)
def test_a_write_elsewhere_is_refused_with_the_command_to_use(fleet, minion, order, command, id_, what):
    fleet.call("redis-1", "SET", "key1", "0")
    said = refused(minion(fleet, id_), f"flag.{order[0]}", *order[1:])
    assert (
        f"{what}, and only the master takes writes. The master is redis-1 ({fleet.hosts['redis-1']}" in said
    )
    assert f"salt redis-1 flag.{command}, or on the Salt master: salt-run flags.{command}" in said
    assert everything(fleet) == {"key1": "0"}


@pytest.mark.parametrize("pillar", [{}, {"redis": {}}, {"redis": {"servers": {}}}, {"redis": "x"}])
def test_a_minion_that_knows_no_servers_is_refused(fleet, minion, pillar):
    web = minion(fleet, "web-9", pillar)
    for order in (("set", "key1", 1), ("get", "key1"), ("list",)):
        said = refused(web, f"flag.{order[0]}", *order[1:])
        assert "web-9 has no redis:servers in its pillar" in said and "salt-run flags.list" in said


def test_an_applications_host_reads(operator, checkbox_1):
    operator.set("key1", 1, new=True, wait_seconds=5)
    told = checkbox_1.call("flag.get", "key1", servers=True)
    assert told["value"] == "1"
    assert told["servers"] == {"redis-1": "1", "redis-2": "1", "redis-3": "1"}
    assert list(checkbox_1.call("flag.list")) == ["key1"]
    assert checkbox_1.call("flag.history", "key1")[0]["to"] == "1"
    assert set(checkbox_1.call("flag.wait", "key1", 1)) == {"redis-1", "redis-2", "redis-3"}


def test_reading_goes_on_while_a_server_is_left(fleet, operator, checkbox_1):
    operator.set("key1", 1, new=True, wait_seconds=5)
    fleet.kill("redis-1")
    fleet.kill("redis-2")
    told = checkbox_1.call("flag.get", "key1", servers=True)
    assert told["value"] == "1"
    assert "does not answer" in told["servers"]["redis-1"]


def test_thousands_of_flags_are_listed(fleet, redis_1):
    commands = [("SET", f"flag{at}", str(at % 2)) for at in range(3000)]
    commands += [("SET", f"sluice:flag:flag{at}", '{"owner": "me"}') for at in range(0, 3000, 2)]
    with Redis(fleet.server("redis-1"), 20) as redis:
        redis.pipeline(commands)
    told = redis_1.call("flag.list")
    assert len(told) == 3000
    assert told["flag2"]["owner"] == "me" and "owner" not in told["flag3"]


def test_keys_that_are_no_flags_are_not_listed(fleet, redis_1):
    for key in ("sluice:alert:checkbox", "sluice:term", "a b", "x:y", "ü", "1x", "sluice:canary:checkbox"):
        fleet.call("redis-1", "SET", key, "1")
    fleet.call("redis-1", "SET", "key1", "1")
    assert list(redis_1.call("flag.list")) == ["key1"]


def test_a_large_value_under_a_flags_name_does_no_harm(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "x" * 5_000_000)
    assert len(redis_1.call("flag.list")["key1"]["value"]) == 256
    redis_1.call("flag.set", "key1", 0)
    assert fleet.call("redis-1", "GET", "key1") == "0"


def test_set_tells_which_server_does_not_have_it_in_time(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "0")
    fleet.kill("redis-2")
    said = refused(redis_1, "flag.set", "key1", 1, wait=True, timeout=0.3)
    assert said.startswith("key1 is set to 1 (was 0) on redis-1, which stays so.")
    assert "redis-3" in said.split("but not everywhere")[0]
    after = said.split("but not everywhere after 0.3 s: ")[1]
    assert f"redis-2 ({fleet.hosts['redis-2']}:{fleet.port}) does not answer" in after
    assert fleet.call("redis-3", "GET", "key1") == "1"


def test_set_tells_when_no_replica_has_it(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "0")
    fleet.kill("redis-2")
    fleet.kill("redis-3")
    said = refused(redis_1, "flag.set", "key1", 1)
    assert "key1 is set to 1 (was 0) on redis-1, on no replica yet after 1 s" in said
    assert fleet.call("redis-1", "GET", "key1") == "1"


def test_one_server_alone_needs_no_replica(a_fleet, minion):
    alone = a_fleet(replicas=0)
    done = minion(alone, "redis-1").call("flag.set", "key1", 1, new=True)
    assert (done["changed"], "replicas" in done) == (True, False)


def test_wait_returns_when_every_server_has_the_value(fleet, redis_1):
    redis_1.call("flag.set", "key1", 0, new=True)
    timer = threading.Timer(0.2, lambda: fleet.call("redis-1", "SET", "key1", "1"))
    timer.start()
    seen = redis_1.call("flag.wait", "key1", "on", timeout=10)
    timer.join()
    assert all(ms > 100 for ms in seen.values()) and len(seen) == 3


def test_wait_tells_who_has_not_got_it(fleet, redis_1):
    redis_1.call("flag.set", "key1", 0, new=True, wait=True)
    fleet.kill("redis-3")
    said = refused(redis_1, "flag.wait", "key1", 1, timeout=0.2)
    assert "key1 is not 1 everywhere after 0.2 s: redis-1 has 0; redis-2 has 0; " in said
    assert "redis-3" in said
    assert "redis-1 has absent" in refused(redis_1, "flag.wait", "nosuch", 1, timeout=0.1)


@pytest.mark.parametrize("seconds", [0, -1, "soon", None, float("nan"), float("inf"), True, [], 86401])
def test_a_time_that_is_none_is_refused(fleet, redis_1, seconds):
    fleet.call("redis-1", "SET", "key1", "0")
    for order in ("flag.wait", "flag.set"):
        assert "timeout is" in refused(redis_1, order, "key1", 1, timeout=seconds)
    assert "seconds is" in refused(redis_1, "flag.watch", "key1", seconds=seconds)
    assert everything(fleet) == {"key1": "0"}


@pytest.mark.parametrize("word", [1, "yes", None])
def test_a_yes_or_no_that_is_none_is_refused(fleet, redis_1, word):
    fleet.call("redis-1", "SET", "key1", "0")
    assert "wait is" in refused(redis_1, "flag.set", "key1", 1, wait=word)
    assert "new is" in refused(redis_1, "flag.set", "key1", 1, new=word)
    assert "servers is" in refused(redis_1, "flag.get", "key1", servers=word)
    assert everything(fleet) == {"key1": "0"}


def test_an_argument_that_nobody_knows_is_refused(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "0")
    with pytest.raises(SaltInvocationError, match="owner"):
        redis_1.call("flag.set", "key1", 1, owner="me")
    assert everything(fleet) == {"key1": "0"}


def test_a_full_redis_refuses_and_nothing_is_half_written(a_fleet, minion):
    full = a_fleet(replicas=0)
    redis_1 = minion(full, "redis-1")
    redis_1.call("flag.set", "key1", 0, new=True)
    before = everything(full)
    full.call("redis-1", "CONFIG", "SET", "maxmemory", "1mb")
    said = refused(redis_1, "flag.set", "key1", 1)
    assert "memory is full" in said and "Nothing was written" in said
    assert everything(full) == before


def test_a_redis_that_cannot_write_to_its_disk_refuses(a_fleet, minion):
    broken = a_fleet(replicas=0, options=("dbfilename blocked.rdb",))
    redis_1 = minion(broken, "redis-1")
    redis_1.call("flag.set", "key1", 0, new=True)
    before = everything(broken)
    # No snapshot can be written where its name is a folder.
    (broken.folder / "redis-1" / "blocked.rdb").mkdir()
    broken.call("redis-1", "CONFIG", "SET", "save", "1000 1000")
    broken.call("redis-1", "BGSAVE")
    wait_for(lambda: "rdb_last_bgsave_status:err" in broken.call("redis-1", "INFO", "persistence"))
    said = refused(redis_1, "flag.set", "key1", 1)
    assert "cannot write to its disk" in said and "Nothing was written" in said
    assert everything(broken) == before


def test_a_master_without_the_replicas_it_needs_refuses(a_fleet, minion):
    fleet = a_fleet(replicas=1, options=("min-replicas-to-write 1", "min-replicas-max-lag 1"))
    redis_1 = minion(fleet, "redis-1")
    redis_1.call("flag.set", "key1", 0, new=True)
    before = everything(fleet)
    fleet.kill("redis-2")
    wait_for(lambda: fleet.info("redis-1")["connected_slaves"] == "0")
    said = refused(redis_1, "flag.set", "key1", 1)
    assert "too few replicas" in said and "Nothing was written" in said
    assert everything(fleet) == before


def test_a_wrong_password_is_told_and_not_shown(fleet, minion):
    users = {"writer": {"password": "not-the-password"}}
    pillar = {"redis": {"servers": dict(fleet.hosts), "port": fleet.port, "users": users}}
    for order in (("set", "key1", 1), ("list",), ("get", "key1")):
        said = refused(minion(fleet, "redis-1", pillar), f"flag.{order[0]}", *order[1:])
        assert "does not know this user with this password" in said
        assert "not-the-password" not in said
    assert everything(fleet) == {}


def test_a_missing_password_is_told(fleet, minion):
    pillar = {"redis": {"servers": dict(fleet.hosts), "port": fleet.port}}
    assert "redis:users:writer:password" in refused(minion(fleet, "redis-1", pillar), "flag.list")


def test_no_server_at_all_is_told(fleet, minion):
    for id_ in fleet.hosts:
        fleet.kill(id_)
    redis_1 = minion(fleet, "redis-1")
    assert "There is no Redis master" in refused(redis_1, "flag.set", "key1", 1)
    assert "does not answer" in refused(redis_1, "flag.list")
    assert "does not answer" in refused(minion(fleet, "checkbox-1"), "flag.get", "key1")


def test_no_password_stands_in_any_answer(fleet, redis_1):
    redis_1.call("flag.set", "key1", 1, new=True)
    answers = [redis_1.call("flag.get", "key1", servers=True), redis_1.call("flag.list")]
    answers += [redis_1.call("flag.history", "key1"), redis_1.call("flag.wait", "key1", 1)]
    assert password("writer") not in repr(answers)


def watched(fleet, name, flip, count):
    """The first changes that are heard at redis-2 once `flip` began, which it does when somebody listens."""

    def begin():
        wait_for(lambda: _listens(fleet), what="a subscription")
        flip()

    thread = threading.Thread(target=begin)
    thread.start()
    watching = Watch(lambda: fleet.server("redis-2", "reader"), name)
    found = list(itertools.islice(watching.changes(20), count))
    thread.join()
    return [(flag, entry.by, entry.what, entry.after) for flag, entry in found]


def _listens(fleet, id_="redis-2"):
    clients = [one for one in fleet.call(id_, "CLIENT", "LIST").splitlines() if "user=reader" in one]
    hears = any(" sub=2" in one or " psub=1" in one for one in clients)
    # It has had its first look, too; without flags that is a SCAN.
    return hears and any("cmd=lrange" in one or "cmd=scan" in one for one in clients)


def test_watch_tells_every_change_of_a_flag(fleet, operator):
    operator.set("key1", 0, new=True, wait_seconds=5)

    def flip():
        operator.set("key1", 1)
        operator.set("other", 1, new=True)
        operator.describe("key1", owner="me")
        fleet.call("redis-1", "SET", "key1", "0")

    assert watched(fleet, "key1", flip, 3) == [
        ("key1", "alice@master", "set", "1"),
        ("key1", "alice@master", "describe", {"owner": "me"}),
        ("key1", "redis-cli or another program", "set", "0"),
    ]


def test_watch_of_all_tells_new_and_deleted_flags_and_no_other_keys(fleet, operator):
    def flip():
        fleet.call("redis-1", "SET", "sluice:alert:checkbox", "x")
        fleet.call("redis-1", "RPUSH", "other", "x")
        operator.set("key1", 1, new=True)
        operator.delete("key1")

    assert watched(fleet, None, flip, 2) == [
        ("key1", "alice@master", "set", "1"),
        ("key1", "alice@master", "delete", None),
    ]


@pytest.mark.parametrize("end", ["kill", "pause"])
def test_watch_goes_on_with_another_server(fleet, operator, end):
    operator.set("key1", 0, new=True, wait_seconds=5)
    turn = iter(["redis-3", "redis-2", "redis-2"])

    def flip():
        wait_for(lambda: _listens(fleet, "redis-3"), what="a subscription")
        getattr(fleet, end)("redis-3")
        operator.set("key1", 1)

    thread = threading.Thread(target=flip)
    thread.start()
    watching = Watch(lambda: fleet.server(next(turn), "reader"), "key1")
    ((_, entry),) = itertools.islice(watching.changes(20), 1)
    thread.join()
    fleet.kill("redis-3")
    assert (entry.by, entry.after) == ("alice@master", "1")


def test_watch_ends_by_itself(fleet, redis_1):
    fleet.call("redis-1", "SET", "key1", "0")
    assert redis_1.call("flag.watch", "key1", seconds=0.1) == []
    assert redis_1.call("flag.watch", seconds=0.1) == []


def test_watch_fails_if_nobody_can_be_heard(fleet, minion):
    for id_ in fleet.hosts:
        fleet.kill(id_)
    assert "does not answer" in refused(minion(fleet, "redis-1"), "flag.watch", "key1", seconds=0.1)


def test_a_master_that_is_lost_in_the_middle_leaves_the_outcome_open(a_fleet):
    lost = a_fleet(replicas=0)

    def edit(flag):
        lost.pause("redis-1")
        return Wanted("1", None)

    with (
        Redis(lost.server("redis-1", "writer"), 0.5) as redis,
        pytest.raises(
            ReleaseError, match="Whether key1 was changed is not known; look with: salt-run flags.get"
        ),
    ):
        change(redis, "key1", edit, "alice", 0.0)


def test_a_master_that_is_lost_before_a_replica_has_it_is_told(a_fleet):
    lost = a_fleet(replicas=1)
    operator = Flags(lost.declared().user("writer"), "alice@master")
    lost.kill("redis-2")

    def kill():
        wait_for(lambda: "cmd=wait" in lost.call("redis-1", "CLIENT", "LIST"))
        lost.kill("redis-1")

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(NotEverywhere, match="whether a replica has it is not known"):
        operator.set("key1", 1, new=True)
    thread.join()


def test_flags_are_set_over_tls_with_the_authority_that_pillar_holds(a_fleet, minion):
    encrypted = a_fleet(replicas=1, tls=True)
    pillar = pillar_of(encrypted, "writer")
    ca = Path(encrypted.settings()["tls"]["ca"])
    for told in (str(ca), ca.read_text()):
        # What stands there of a server's own certificate is not for clients.
        pillar["redis"]["tls"] = {"enabled": True, "ca": told, "cert": "-----BEGIN", "key": "-----BEGIN"}
        done = minion(encrypted, "redis-1", pillar).call("flag.set", "key1", 1, new=True, wait=True)
        assert done["value"] == "1"
    pillar["redis"]["tls"]["ca"] = "-----BEGIN nonsense"
    said = refused(minion(encrypted, "redis-1", pillar), "flag.list")
    assert "the authority's certificate cannot be used" in said and "nonsense" not in said
