"""Which requests a rule is for, however their path is spelled, and what it does to them."""

import random
import re
from urllib.parse import unquote_to_bytes

import pytest

from balancer import paths, rules
from balancer.forwarded import asked
from balancer.request import BadRequest, Request
from balancer.routes import Route
from balancer.rules import Redirect, Rule, Rules

ASKED = asked([b"10.0.0.9"], b"http")

UTIL = Rule(path_prefix="/iTrust/util/", except_paths=("/iTrust/util/resetPassword.jsp",), deny=403)
LOGIN = Rule(path="/iTrust/j_security_check", methods=("GET",), set_method="POST")


def made(*told):
    return Rules([rule.told() for rule in told])


def request(target, method=b"GET", headers=()):
    one = Request(0.0)
    one.method, one.target = method, target
    one.headers = [(b"Host", b"shop.test"), *headers]
    one.check()
    one.route = Route("shop", lambda: 0.0)
    return one


def after(rule_or_rules, target=b"/", **details):
    told = rule_or_rules if isinstance(rule_or_rules, tuple) else (rule_or_rules,)
    one = request(target, **details)
    made(*told).apply(one)
    return one


def is_denied(target, rule=UTIL):
    try:
        answer = after(rule, target).answer
    except BadRequest as refused:
        return refused.status == 400
    return answer is not None and answer.status == 403


# Other spellings of /iTrust/util/dump.jsp; the words say what a server must do to take it for that.
SPELLINGS = {
    "as it is": b"/iTrust/util/dump.jsp",
    "the folder itself": b"/iTrust/util/",
    "the folder without a slash": b"/iTrust/util",
    "with a query": b"/iTrust/util/?a=/iTrust/util/resetPassword.jsp",
    "absolute": b"http://shop.test/iTrust/util/dump.jsp",
    "decodes a letter": b"/iTrust/%75til/dump.jsp",
    "decodes a capital": b"/%69Trust/util/dump.jsp",
    "decodes every letter": b"/%69%54%72%75%73%74/%75%74%69%6c/%64ump.jsp",
    "decodes twice": b"/iTrust/%2575til/dump.jsp",
    "decodes three times": b"/iTrust/%252575til/dump.jsp",
    "decodes a slash": b"/iTrust%2futil/dump.jsp",
    "decodes a capital slash": b"/iTrust%2Futil%2Fdump.jsp",
    "decodes a slash twice": b"/iTrust%252futil/dump.jsp",
    "decodes the slash after it": b"/iTrust/util%2fdump.jsp",
    "drops parameters before": b"/iTrust;x/util/dump.jsp",
    "drops parameters after": b"/iTrust/util;x=1/dump.jsp",
    "drops parameters at the end": b"/iTrust/util/dump.jsp;x=1;y=2",
    "drops empty parameters": b"/iTrust/util;/dump.jsp",
    "drops parameters of nothing": b"/;x/iTrust/util/dump.jsp",
    "drops parameters that were encoded": b"/iTrust%3bx/util/dump.jsp",
    "drops parameters, then dots": b"/iTrust/a/..;/util/dump.jsp",
    "drops parameters, then many dots": b"/a/b/..;/..;x/iTrust/util/dump.jsp",
    "drops parameters, then a dot": b"/iTrust/.;x/util/dump.jsp",
    "decodes, then drops parameters, then dots": b"/iTrust/a/%2e%2e;/util/dump.jsp",
    "merges slashes": b"/iTrust//util/dump.jsp",
    "merges slashes at the start": b"//iTrust/util/dump.jsp",
    "merges many slashes": b"////iTrust/////util///dump.jsp",
    "merges slashes around parameters": b"/iTrust/;x/;y/util/dump.jsp",
    "merges slashes after decoding": b"/iTrust/%2futil/dump.jsp",
    "removes a dot": b"/iTrust/./util/dump.jsp",
    "removes dots": b"/iTrust/css/../util/dump.jsp",
    "removes dots at the root": b"/../iTrust/util/dump.jsp",
    "removes many dots": b"/a/b/c/../../../iTrust/util/dump.jsp",
    "removes dots in the folder": b"/iTrust/util/x/../dump.jsp",
    "removes dots at the end": b"/iTrust/util/x/..",
    "removes encoded dots": b"/iTrust/css/%2e%2e/util/dump.jsp",
    "removes dots that are half encoded": b"/iTrust/css/.%2E/util/dump.jsp",
    "removes an encoded dot": b"/iTrust/%2e/util/dump.jsp",
    "removes dots that were encoded twice": b"/iTrust/css/%252e%252e/util/dump.jsp",
    "removes dots between encoded slashes": b"/iTrust/css%2f..%2futil/dump.jsp",
    "removes dots, leaves encoded slashes": b"/iTrust/a%2fb/%2e%2e/util/dump.jsp",
    "removes dots, leaves slashes encoded twice": b"/iTrust/a%252fb/%2e%2e/util/dump.jsp",
    "removes dots, then merges": b"/a/..//iTrust/util/dump.jsp",
    "merges, then removes dots": b"/a//../iTrust/util/dump.jsp",
    "takes a backslash": b"/iTrust\\util\\dump.jsp",
    "takes an encoded backslash": b"/iTrust%5cutil/dump.jsp",
    "takes a backslash, removes dots": b"/iTrust/css\\..\\util/dump.jsp",
    "takes an overlong slash": b"/iTrust%c0%afutil/dump.jsp",
    "takes overlong dots": b"/iTrust/css/%c0%ae%c0%ae/util/dump.jsp",
    "takes an overlong letter": b"/iTrust/%c1%b5til/dump.jsp",
    "takes overlong dots of three bytes": b"/iTrust/css/%e0%80%ae%e0%80%ae/util/dump.jsp",
    "takes an escape of Unicode": b"/iTrust/%u0075til/dump.jsp",
    "ends at an encoded NUL": b"/iTrust/util%00/x",
    "ends at a NUL after the name": b"/iTrust/util/dump.jsp%00.png",
    "ends at a NUL after parameters": b"/iTrust/util/dump.jsp;%00resetPassword.jsp",
    "drops parameters with an encoded slash": b"/iTrust/;%2fa/util/dump.jsp",
}
# Nearly the one path below it that is allowed.
NEARLY_ALLOWED = {
    "a path after it": b"/iTrust/util/resetPassword.jsp/",
    "a path below it": b"/iTrust/util/resetPassword.jsp/../dump.jsp",
    "parameters": b"/iTrust/util/resetPassword.jsp;x=1",
    "parameters, then dots": b"/iTrust/util/resetPassword.jsp;/../dump.jsp",
    "parameters that hide dots": b"/iTrust/util/resetPassword.jsp;%2f..%2fdump.jsp",
    "parameters that hide a name": b"/iTrust/util/dump.jsp;/resetPassword.jsp",
    "an encoded letter": b"/iTrust/util/%72esetPassword.jsp",
    "another case": b"/iTrust/util/resetpassword.jsp",
    "a NUL": b"/iTrust/util/dump.jsp%00resetPassword.jsp",
    "an encoded path": b"/iTrust/util/resetPassword.jsp%2f..%2fdump.jsp",
    "its end only": b"/iTrust/util/a/iTrust/util/resetPassword.jsp",
    "an encoded question mark": b"/iTrust/util/dump.jsp%3f/iTrust/util/resetPassword.jsp",
    "two slashes": b"/iTrust/util//resetPassword.jsp",
    "a dot": b"/iTrust/util/./resetPassword.jsp",
}
ALLOWED = {
    "the exception": b"/iTrust/util/resetPassword.jsp",
    "the exception, however its folder is spelled": b"/iTrust/%75til;x/resetPassword.jsp",
    "the exception with a query": b"/iTrust/util/resetPassword.jsp?x=/iTrust/util/",
    "a longer name": b"/iTrust/utility/a",
    "a name with it at its end": b"/iTrust/my-util/a",
    "it in a query": b"/iTrust/?next=/iTrust/util/",
    "it in another folder": b"/iTrust/auth/iTrust/util/",
    "another case": b"/itrust/util/",
    "parameters elsewhere": b"/iTrust/auth/home.jsp;jsessionid=0A1B",
    "an escape elsewhere": b"/iTrust/auth/a%20b%2Fc.jsp",
    "a well-known path": b"/.well-known/acme-challenge/x",
    "the root": b"/",
}


def test_the_table_of_spellings_is_as_long_as_it_should_be():
    assert len({*SPELLINGS.values(), *NEARLY_ALLOWED.values()}) >= 60


@pytest.mark.parametrize("target", SPELLINGS.values(), ids=SPELLINGS)
def test_a_denied_path_is_denied_however_it_is_spelled(target):
    assert is_denied(target)


@pytest.mark.parametrize("target", NEARLY_ALLOWED.values(), ids=NEARLY_ALLOWED)
def test_an_exception_is_for_one_spelling_of_one_path(target):
    assert is_denied(target)


@pytest.mark.parametrize("target", ALLOWED.values(), ids=ALLOWED)
def test_other_paths_are_not_denied(target):
    assert not is_denied(target)


@pytest.mark.parametrize("depth", [5, 50, 500])
def test_a_path_that_is_encoded_over_and_over_is_refused(depth):
    target = b"/iTrust/%" + b"25" * depth + b"75til/dump.jsp;x//."
    assert is_denied(target)


def test_a_long_odd_path_is_refused_and_a_long_plain_one_is_not():
    assert is_denied(b"/%61" * 1000)
    assert not is_denied(b"/a" * 3000)


def test_a_path_without_anything_odd_has_one_reading():
    assert paths.readings(b"/iTrust/auth/home.jsp") == {b"/iTrust/auth/home.jsp"}


def test_the_readings_of_a_path_are_bounded():
    worst = b"/%25252e//;a/.\\%2f%5c%00%c0%ae/..;/" * 40
    assert paths.readings(worst) is None


@pytest.mark.parametrize("target", [b"*", b"/", b"/a"])
def test_a_prefix_of_the_root_is_for_all_there_is(target):
    method = b"OPTIONS" if target == b"*" else b"GET"
    assert after(Rule(path_prefix="/", deny=403), target, method=method).answer.status == 403


# What is done.


@pytest.mark.parametrize("status", [403, 404, 410, 503])
def test_a_denied_request_gets_its_status(status):
    assert after(Rule(path="/a", deny=status), b"/a").answer.status == status


def test_a_redirect_says_where_to():
    answer = after(Rule(path="/", redirect=Redirect(308, "/iTrust/")), b"/").answer
    assert (answer.status, answer.lines) == (308, (b"Location: /iTrust/\r\n",))


def test_a_rule_for_some_methods_leaves_the_others_alone():
    rule = Rule(path_prefix="/", methods=("PUT", "DELETE"), deny=403)
    assert after(rule, method=b"PUT").answer is not None
    assert after(rule, method=b"GET").answer is None


def test_get_becomes_post_with_a_length_and_is_not_repeated():
    one = after(LOGIN, b"/iTrust/j_security_check?j_username=1&j_password=x")
    one.make_head(ASKED)
    assert one.head.startswith(b"POST /iTrust/j_security_check?j_username=1&j_password=x HTTP/1.1\r\n")
    assert one.head.count(b"Content-Length: 0\r\n") == 1
    assert not one.may_repeat()


def test_a_length_that_is_told_is_told_once():
    one = after(LOGIN, b"/iTrust/j_security_check", headers=[(b"Content-Length", b"0")])
    one.make_head(ASKED)
    assert one.head.count(b"Content-Length") == 1


def test_chunks_get_no_length():
    one = after(LOGIN, b"/iTrust/j_security_check", headers=[(b"Transfer-Encoding", b"chunked")])
    one.make_head(ASKED)
    assert b"Content-Length" not in one.head


def test_head_stays_head():
    rule = Rule(path_prefix="/", set_method="POST")
    assert after(rule, method=b"HEAD").method == b"HEAD"


def test_a_header_is_set_in_the_place_of_the_clients_however_it_is_written():
    sent = [(b"X-Realm", b"a"), (b"x_realm", b"b"), (b"X-REALM", b"c"), (b"Cookie", b"d")]
    one = after(Rule(path_prefix="/", set_header={"X-Realm": "ward 7"}), headers=sent)
    assert one.headers == [(b"Host", b"shop.test"), (b"Cookie", b"d"), (b"X-Realm", b"ward 7")]


def test_a_header_is_removed_however_it_is_written():
    sent = [(b"X-Admin", b"1"), (b"X_ADMIN", b"1"), (b"X-Administrator", b"1")]
    one = after(Rule(path_prefix="/", remove_header=("x-admin",)), headers=sent)
    assert [name for name, _ in one.headers] == [b"Host", b"X-Administrator"]


def test_a_client_cannot_have_a_set_header_removed_as_one_of_its_hop():
    sent = [(b"Connection", b"close, X-Realm,x-other")]
    one = after(Rule(path_prefix="/", set_header={"X-Realm": "7"}), headers=[*sent, (b"X-Other", b"1")])
    one.make_head(ASKED)
    assert b"X-Realm: 7\r\n" in one.head
    assert b"X-Other" not in one.head


def test_rules_are_applied_in_their_order_until_one_ends_it():
    told = (
        Rule(path_prefix="/", set_header={"A": "1"}),
        Rule(path_prefix="/a", set_header={"A": "2", "B": "2"}),
        Rule(path="/a/b", deny=404),
        Rule(path_prefix="/a", deny=410),
    )
    assert dict(after(told, b"/c").headers)[b"A"] == b"1"
    assert after(told, b"/a/b").answer.status == 404
    assert after(told, b"/a/c").answer.status == 410


def test_later_rules_see_the_method_that_the_client_sent():
    told = (Rule(path_prefix="/", set_method="POST"), Rule(path_prefix="/", methods=("POST",), deny=403))
    assert after(told).answer is None


def test_a_set_header_counts_for_the_limit_of_a_head():
    told = tuple(Rule(path_prefix="/", set_header={f"X-{n}": "y" * 1000}) for n in range(40))
    with pytest.raises(BadRequest, match="head too large"):
        after(told).make_head(ASKED)


def test_told_rules_are_the_same_after_they_travelled():
    told = Rule(path="/a", redirect=Redirect(301, "/b"), methods=("GET",)).told()
    assert told["redirect"] == {"status": 301, "to": "/b"}
    assert rules.Rules([told])


# What Tomcat 10.1 does to a path by default: a real one agreed on each of 2718 random spellings.


def as_tomcat_reads(path):
    """The path that an application gets; None if Tomcat answers 400."""
    path = re.sub(rb";[^/]*", b"", path)
    if re.search(rb"%2f|%5c|%00|%(?![0-9a-f]{2})|\\", path, re.IGNORECASE):
        return None
    path = unquote_to_bytes(path)
    path = re.sub(rb"//+", b"/", path)
    kept = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            if not kept:
                return None
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    return b"/" + b"/".join(kept)


def spelled_at_random(dice):
    """The denied file, perhaps, with things in the way that some server removes."""
    between = (
        b"/", b"/", b"/", b"//", b"/./", b"/x/../", b"/.;x/", b"/x/..;/", b"%2f", b"\\", b";", b";a=b/",
        b"%3b", b"/%2e/", b"/x/%2e%2E/", b"/a%2fb/../", b"%00", b"/;/", b"/a;b/c;d/..;e/../",
    )  # fmt: skip
    words = [half_encoded(dice, word) for word in (b"iTrust", b"util", b"dump.jsp")]
    return b"".join(part for word in words for part in (dice.choice(between), word))


def half_encoded(dice, word):
    return b"".join(b"%%%02x" % byte if dice.random() < 0.2 else bytes((byte,)) for byte in word)


def test_no_spelling_that_tomcat_takes_for_a_denied_file_is_let_through():
    dice = random.Random(2026)
    taken = 0
    for _ in range(5000):
        target = spelled_at_random(dice)
        if target.startswith(b"/") and as_tomcat_reads(target) == b"/iTrust/util/dump.jsp":
            taken += 1
            assert is_denied(target), target
    assert taken > 500
