"""The rules in the file: good ones are taken over, every mistake is told with its path."""

from pathlib import Path

import pytest
import sluice_balancer_config
import yaml

from balancer.reader import Reader
from balancer.rules import Redirect, Rule
from balancer.rulesfile import read_rules
from balancer.upgrade import read_upgrade

AT = "$.services.itrust.rules"
ITRUST = [
    {"path_prefix": "/iTrust/util/", "except": ["/iTrust/util/resetPassword.jsp"], "deny": 403},
    {"path": "/iTrust/j_security_check", "methods": ["GET"], "set_method": "POST"},
    {"path": "/", "redirect": {"status": 302, "to": "/iTrust/"}},
    {
        "path_prefix": "/iTrust",
        "set_header": {"X-Realm": "ward 7", "X-Empty": ""},
        "remove_header": ["X-Debug"],
    },
]


def read(told):
    reader = Reader()
    rules = read_rules(reader, told, AT)
    return rules, reader.mistakes


def mistakes(*told):
    return read(list(told))[1]


def test_good_rules_are_taken_over():
    rules, wrong = read(ITRUST)
    assert wrong == []
    assert rules == (
        Rule(path_prefix="/iTrust/util/", except_paths=("/iTrust/util/resetPassword.jsp",), deny=403),
        Rule(path="/iTrust/j_security_check", methods=("GET",), set_method="POST"),
        Rule(path="/", redirect=Redirect(302, "/iTrust/")),
        Rule(
            path_prefix="/iTrust",
            set_header={"X-Realm": "ward 7", "X-Empty": ""},
            remove_header=("X-Debug",),
        ),
    )


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/", "/a.b/c-d_e", "/Straße/ä", "/a b", "/.well-known/x", "/..a"]
)
def test_a_path_is_written_as_the_application_sees_it(path):
    assert mistakes({"path": path, "deny": 403}) == []


PATH = "a path from / on as the application sees it, without . or .. or empty segments, %, ;, ?, #, \\"


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "*", "//a", "/a//b", "/a/../b", "/a/..", "/./a", "/a%2fb", "/a;x", "/a?b", "/a#b", "/a\\b",
        "/a\r\nX: y", "/a\x00", "/a\x7f", "/\ud800", "/" + "a" * 1024, 7, None, ["/a"],
    ],
)  # fmt: skip
def test_a_path_that_no_request_could_match_is_a_mistake(path):
    (told,) = mistakes({"path": path, "deny": 403})
    assert told.startswith(f"{AT}[0].path: is ")
    assert told.endswith(PATH)


@pytest.mark.parametrize(
    ("rule", "at", "wrong"),
    [
        ("deny", "[0]", "is \"deny\", want an object"),
        ({}, "[0]", "has neither path, want exactly one of path, path_prefix"),
        ({"deny": 403}, "[0]", "has neither path, want exactly one of path, path_prefix"),
        ({"path": "/a", "path_prefix": "/b", "deny": 403}, "[0]", "has path and path_prefix, want exactly o"),
        ({"path": "/a"}, "[0]", "does nothing, want one of deny, redirect, remove_header, set_header"),
        ({"path": "/a", "deny": 403, "set_header": {"A": "b"}}, "[0]", "has deny, set_header, want deny or"),
        ({"path": "/a", "deny": 403, "why": "x"}, "[0].why", "not a known key, want one of deny, except, me"),
        ({"path": "/a", "deny": 200}, "[0].deny", "is 200, want one of 403, 404, 410, 503"),
        ({"path": "/a", "deny": 403.0}, "[0].deny", "is 403.0, want one of 403"),
        ({"path": "/a", "deny": True}, "[0].deny", "is true, want one of 403"),
        ({"path": "/a", "deny": [403]}, "[0].deny", "is [403], want one of 403"),
        ({"path": "/a", "deny": 403, "except": ["/a"]}, "[0].except", "only with path_prefix"),
        ({"path_prefix": "/a", "deny": 403, "except": "/a/b"}, "[0].except", 'is "/a/b", want a list of at'),
        ({"path_prefix": "/a", "deny": 403, "except": ["/b"]}, "[0].except[0]", 'is "/b", which is not with'),
        ({"path_prefix": "/a", "deny": 403, "except": ["/a/%2e"]}, "[0].except[0]", 'is "/a/%2e", want a pa'),
        ({"path": "/a", "deny": 403, "methods": "GET"}, "[0].methods", 'is "GET", want a list of methods'),
        ({"path": "/a", "deny": 403, "methods": ["get"]}, "[0].methods[0]", 'is "get", want one of DELETE, '),
        ({"path": "/a", "set_method": "HEAD"}, "[0].set_method", 'is "HEAD", want one of DELETE, GET, PATCH'),
        ({"path": "/a", "set_method": "CONNECT"}, "[0].set_method", 'is "CONNECT", want one of'),
        ({"path": "/a", "set_method": "POST", "methods": ["HEAD"]}, "[0].set_method", "never for HEAD"),
        ({"path": "/a", "redirect": "/b"}, "[0].redirect", 'is "/b", want an object'),
        ({"path": "/a", "redirect": {"to": "/b"}}, "[0].redirect.status", "is null, want one of 301, 302"),
        ({"path": "/a", "redirect": {"status": 303, "to": "/b"}}, "[0].redirect.status", "is 303, want one "),
        ({"path": "/a", "redirect": {"status": 301}}, "[0].redirect.to", "is null, want a path from / on, o"),
        ({"path": "/a", "redirect": {"status": 301, "to": "//b.example"}}, "[0].redirect.to", 'is "//b.exam'),
        ({"path": "/a", "redirect": {"status": 301, "to": "/\\b.example"}}, "[0].redirect.to", "is "),
        ({"path": "/a", "redirect": {"status": 301, "to": "b"}}, "[0].redirect.to", 'is "b", want a path'),
        ({"path": "/a", "redirect": {"status": 301, "to": "javascript:x"}}, "[0].redirect.to", "is "),
        ({"path": "/a", "redirect": {"status": 301, "to": "/b\r\nX: y"}}, "[0].redirect.to", "is "),
        ({"path": "/a", "redirect": {"status": 301, "to": "http://a@b/"}}, "[0].redirect.to", "is "),
        ({"path": "/a", "redirect": {"status": 301, "to": "/a?b"}}, "[0].redirect.to", "is a path that the "),
        ({"path_prefix": "/a", "redirect": {"status": 301, "to": "/a/b"}}, "[0].redirect.to", "is a path th"),
        ({"path": "/a", "set_header": {}}, "[0].set_header", "is empty, want header names"),
        ({"path": "/a", "set_header": ["A"]}, "[0].set_header", 'is ["A"], want an object'),
        ({"path": "/a", "set_header": {"A b": "c"}}, "[0].set_header", 'is "A b", want the name of a header'),
        ({"path": "/a", "set_header": {"A\r\nB": "c"}}, "[0].set_header", "want the name of a header"),
        ({"path": "/a", "set_header": {"A": "b\r\nC: d"}}, "[0].set_header.A", "want at most 1024 printable"),
        ({"path": "/a", "set_header": {"A": "b\x00"}}, "[0].set_header.A", "want at most 1024 printable ASC"),
        ({"path": "/a", "set_header": {"A": " b"}}, "[0].set_header.A", "want at most 1024 printable ASCII"),
        ({"path": "/a", "set_header": {"A": 1}}, "[0].set_header.A", "is 1, want at most 1024 printable ASC"),
        ({"path": "/a", "remove_header": "A"}, "[0].remove_header", 'is "A", want a list of at most 64 head'),
        ({"path": "/a", "remove_header": []}, "[0].remove_header", "is empty, want header names"),
        ({"path": "/a", "remove_header": [1]}, "[0].remove_header[0]", "is 1, want the name of a header"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path(rule, at, wrong):
    assert [told for told in mistakes(rule) if told.startswith(f"{AT}{at}: ") and wrong in told], mistakes(
        rule
    )


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-length", "Content_Length", "TRANSFER-ENCODING", "Connection", "Keep-Alive", "TE",
        "Trailer", "Upgrade", "Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings", "Expect",
        "Forwarded",
        "X-Forwarded-For", "x_forwarded_for", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id",
        "X-Real-IP", "x-forwarded-prefix", "Via",
        "X-Forwarded-Prefix", "Via", "x-real-ip",
    ],
)  # fmt: skip
def test_headers_that_frame_route_or_say_who_asks_are_not_for_rules(name):
    for rule, at in (
        ({"set_header": {name: "1"}}, "set_header"),
        ({"remove_header": [name]}, "remove_header[0]"),
    ):
        (told,) = mistakes({"path": "/", **rule})
        assert told.startswith(f"{AT}[0].{at}: {name} is not for rules: ")


@pytest.mark.parametrize("told", [{}, "deny", 7, [{"path": "/", "deny": 403}] * 65])
def test_rules_are_a_list_of_a_handful(told):
    (wrong,) = read(told)[1]
    assert wrong.startswith(f"{AT}: is ")
    assert wrong.endswith("want a list of at most 64 rules")


A = {"path_prefix": "/a", "deny": 403}
SHADOWED = {
    "the same": (A, A),
    "a path below": (A, {"path": "/a/b", "deny": 404}),
    "the folder": (A, {"path": "/a", "deny": 404}),
    "a folder below": (A, {"path_prefix": "/a/b", "set_method": "POST"}),
    "some methods": (A, {"path": "/a/b", "methods": ["GET"], "set_method": "POST"}),
    "the same methods": ({**A, "methods": ["GET", "PUT"]}, {**A, "methods": ["PUT"]}),
    "the same path": ({"path": "/a", "deny": 403}, {"path": "/a", "deny": 404}),
    "everything": ({"path_prefix": "/", "deny": 503}, A),
    "a redirect": ({"path_prefix": "/a", "redirect": {"status": 301, "to": "/b"}}, A),
    "the same exceptions": ({**A, "except": ["/a/b"]}, {**A, "except": ["/a/b"]}),
    "a folder beside the exception": ({**A, "except": ["/a/b"]}, {"path_prefix": "/a/c", "deny": 404}),
}
REACHED = {
    "another folder": (A, {"path_prefix": "/b", "deny": 403}),
    "a longer name": (A, {"path_prefix": "/ab", "deny": 403}),
    "the folder above": (A, {"path_prefix": "/", "deny": 403}),
    "other methods": ({**A, "methods": ["GET"]}, {**A, "methods": ["GET", "PUT"]}),
    "all methods": ({**A, "methods": ["GET"]}, A),
    "the exception": ({**A, "except": ["/a/b"]}, {"path": "/a/b", "deny": 404}),
    "a folder with the exception": ({**A, "except": ["/a/b/c"]}, {"path_prefix": "/a/b", "deny": 404}),
    "a rule that does not end": ({"path_prefix": "/", "set_header": {"A": "b"}}, A),
    "a folder below a path": ({"path": "/a", "deny": 403}, A),
}


@pytest.mark.parametrize("pair", SHADOWED.values(), ids=SHADOWED)
def test_a_rule_that_is_never_reached_is_a_mistake(pair):
    assert mistakes(*pair) == [f"{AT}[1]: is never reached, {AT}[0] ends all its requests"]


@pytest.mark.parametrize("pair", REACHED.values(), ids=REACHED)
def test_a_rule_that_is_reached_is_none(pair):
    assert mistakes(*pair) == []


PILLAR = {"listen": "0.0.0.0:80", "backend_port": 8080, "tracks": {"stable": "N@itrust"}}


def test_rules_and_upgrades_of_pillar_come_into_the_file_as_they_are():
    passed = {"rules": ITRUST, "upgrade": {"protocols": ["websocket"], "idle_seconds": 60}}
    made = sluice_balancer_config.service(
        "itrust", PILLAR | passed, {"stable": 100}, {"stable": {"itrust-1": "10.0.0.1"}}
    )
    assert {key: made[key] for key in passed} == passed


def test_the_rules_of_the_how_to_are_good_ones():
    text = (Path(__file__).parents[3] / "docs/howto/request-rules.md").read_text()
    itrust = yaml.safe_load(text.partition("    balancer:\n")[2].partition("\n\n")[0])
    assert mistakes(*itrust["services"]["itrust"]["rules"]) == []
    others = [line for line in text.splitlines() if line.startswith("    - {")]
    assert len(others) >= 5
    for line in others:
        assert mistakes(*yaml.safe_load(line)) == []


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"protocols": "websocket"}, '.protocols: is "websocket", want a list of at most 16 protocols'),
        ({"protocols": ["h2c"]}, '.protocols[0]: is "h2c", want the name of a protocol'),
        ({"protocols": ["HTTP/2.0"]}, '.protocols[0]: is "HTTP/2.0", want the name of a protocol'),
        ({"protocols": ["tls/1.0"]}, '.protocols[0]: is "tls/1.0", want the name of a protocol'),
        ({"protocols": ["WebSocket"]}, '.protocols[0]: is "WebSocket", want the name of a protocol'),
        ({"protocols": ["a, h2c"]}, '.protocols[0]: is "a, h2c", want the name of a protocol'),
        ({"protocols": ["a\r\nX: y"]}, ".protocols[0]: is "),
        ({"protocols": [7]}, ".protocols[0]: is 7, want the name of a protocol"),
        ({"idle_seconds": 0}, ".idle_seconds: is 0, want a number, 1 to 86400"),
        ({"idle": 5}, ".idle: not a known key"),
        (["websocket"], ': is ["websocket"], want an object'),
    ],
)
def test_a_mistake_about_upgrades_is_told_with_its_path(told, wrong):
    reader = Reader()
    read_upgrade(reader, told, "$.services.shop.upgrade")
    assert reader.mistakes[0].startswith("$.services.shop.upgrade" + wrong)


def test_websockets_may_pass_unless_the_file_says_otherwise():
    assert read_upgrade(Reader(), {}, "").protocols == ("websocket",)
    assert read_upgrade(Reader(), {"protocols": []}, "").protocols == ()
