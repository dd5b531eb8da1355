"""The `rules` of a service in the balancer's file: read, and checked so that each can do what it says."""

from __future__ import annotations

import re

from balancer.reader import Reader
from balancer.rules import PROTECTED, Redirect, Rule, is_within, plain

# A handful is meant; each is looked at for every request.
MAX_RULES = 64
DENY = (403, 404, 410, 503)
REDIRECT = (301, 302, 307, 308)
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# Not HEAD, whose answers have no body: client and backend would disagree where the answer ends.
SETTABLE = ("DELETE", "GET", "PATCH", "POST", "PUT")
# Paths are compared after decoding: what is written here is what the application sees.
PATH = re.compile(r"/[^\x00-\x1f\x7f%;?#\\]*")
NAME = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,64}")
VALUE = re.compile(r"(?:[!-~](?:[ -~]{0,1022}[!-~])?)?")
TO = re.compile(r"(?:https?://[A-Za-z0-9\[][A-Za-z0-9.:\]-]*(?:/[!#-~]*)?|/(?:[!#-.0-\[\]-~][!#-~]*)?)")
KNOWN = {
    "deny",
    "except",
    "methods",
    "path",
    "path_prefix",
    "redirect",
    "remove_header",
    "set_header",
    "set_method",
}
ACTIONS = ("deny", "redirect", "remove_header", "set_header", "set_method")


def read_rules(read: Reader, told: object, path: str) -> tuple[Rule, ...]:
    """The rules of a service, with every mistake noted."""
    rows = _list(read, told, path, f"a list of at most {MAX_RULES} rules", MAX_RULES)
    before = len(read.mistakes)
    rules = tuple(_rule(read, row, f"{path}[{number}]") for number, row in enumerate(rows))
    if len(read.mistakes) == before:
        _check_order(read, rules, path)
    return rules


def _list(read: Reader, told: object, path: str, want: str, most: int) -> list[object]:
    if not isinstance(told, list) or len(told) > most:
        read.wrong(path, told, want)
        return []
    return told


def _rule(read: Reader, told: object, path: str) -> Rule:
    table = read.table(told, path, KNOWN)
    if isinstance(told, dict):
        _check_keys(read, table, path)
    rule = Rule(
        path=_path(read, table["path"], f"{path}.path") if "path" in table else None,
        path_prefix=_path(read, table["path_prefix"], f"{path}.path_prefix")
        if "path_prefix" in table
        else None,
        except_paths=_excepted(read, table, path),
        methods=_methods(read, table.get("methods", []), f"{path}.methods"),
        deny=_one_of(read, table["deny"], f"{path}.deny", DENY) if "deny" in table else None,
        redirect=_redirect(read, table["redirect"], f"{path}.redirect") if "redirect" in table else None,
        set_method=_method(read, table["set_method"], f"{path}.set_method", SETTABLE)
        if "set_method" in table
        else None,
        set_header=_headers(read, table["set_header"], f"{path}.set_header")
        if "set_header" in table
        else None,
        remove_header=_names(read, table["remove_header"], f"{path}.remove_header")
        if "remove_header" in table
        else (),
    )
    if rule.set_method and "HEAD" in rule.methods:
        read.mistakes.append(f"{path}.set_method: never for HEAD, want methods without it")
    return rule


def _check_keys(read: Reader, table: dict[str, object], path: str) -> None:
    if ("path" in table) == ("path_prefix" in table):
        read.mistakes.append(f"{path}: has {_listed(table)}, want exactly one of path, path_prefix")
    actions = [action for action in ACTIONS if action in table]
    if not actions:
        read.mistakes.append(f"{path}: does nothing, want one of {', '.join(ACTIONS)}")
    if len(actions) > 1 and {"deny", "redirect"} & set(actions):
        read.mistakes.append(
            f"{path}: has {', '.join(actions)}, want deny or redirect alone: the request goes no further"
        )


def _listed(table: dict[str, object]) -> str:
    return " and ".join(key for key in ("path", "path_prefix") if key in table) or "neither path"


def _path(read: Reader, told: object, path: str) -> str:
    want = "a path from / on as the application sees it, without . or .. or empty segments, %, ;, ?, #, \\"
    return read.text(told, path, want, _is_path)


def _is_path(text: str) -> bool:
    inner = text.split("/")[1:-1]
    return (
        bool(PATH.fullmatch(text))
        and "" not in inner
        and not {".", ".."} & set(text.split("/"))
        and len(text) <= 1024
        and text.isprintable()
    )


def _excepted(read: Reader, table: dict[str, object], path: str) -> tuple[str, ...]:
    if "except" not in table:
        return ()
    rows = _list(read, table["except"], f"{path}.except", "a list of at most 64 paths", 64)
    excepted = tuple(_path(read, row, f"{path}.except[{number}]") for number, row in enumerate(rows))
    prefix = table.get("path_prefix")
    if not isinstance(prefix, str):
        read.mistakes.append(f"{path}.except: only with path_prefix: a path alone has no exceptions")
        return excepted
    read.mistakes.extend(
        f'{path}.except[{number}]: is "{text}", which is not within {prefix}'
        for number, text in enumerate(excepted)
        if text and not is_within(text.encode(), prefix.encode())
    )
    return excepted


def _methods(read: Reader, told: object, path: str) -> tuple[str, ...]:
    rows = _list(read, told, path, "a list of methods", len(METHODS))
    return tuple(_method(read, row, f"{path}[{number}]", METHODS) for number, row in enumerate(rows))


def _method(read: Reader, told: object, path: str, known: tuple[str, ...]) -> str:
    return read.text(told, path, f"one of {', '.join(known)}", lambda text: text in known)


def _one_of(read: Reader, told: object, path: str, known: tuple[int, ...]) -> int:
    if not isinstance(told, int) or told not in known:
        read.wrong(path, told, f"one of {', '.join(map(str, known))}")
        return known[0]
    return told


def _redirect(read: Reader, told: object, path: str) -> Redirect:
    table = read.table(told, path, {"status", "to"})
    return Redirect(
        status=_one_of(read, table.get("status"), f"{path}.status", REDIRECT),
        to=read.text(
            table.get("to"),
            f"{path}.to",
            "a path from / on, or a URL like https://shop.example.com/new, of printable ASCII",
            lambda text: TO.fullmatch(text) and len(text) <= 1024,
        ),
    )


def _headers(read: Reader, told: object, path: str) -> dict[str, str]:
    table = read.table(told, path)
    if isinstance(told, dict) and not told:
        read.mistakes.append(f"{path}: is empty, want header names with their values")
    return {
        _name(read, name, path): read.text(
            value, f"{path}.{name[:80]}", "at most 1024 printable ASCII characters", VALUE.fullmatch
        )
        for name, value in table.items()
    }


def _names(read: Reader, told: object, path: str) -> tuple[str, ...]:
    rows = _list(read, told, path, "a list of at most 64 header names", 64)
    if told == []:
        read.mistakes.append(f"{path}: is empty, want header names")
    return tuple(_name(read, row, f"{path}[{number}]") for number, row in enumerate(rows))


def _name(read: Reader, told: object, path: str) -> str:
    name = read.text(told, path, "the name of a header", NAME.fullmatch)
    if plain(name.encode()) in PROTECTED:
        read.mistakes.append(
            f"{path}: {name} is not for rules: it frames or routes the request, or the balancer sets it"
        )
    return name


def _check_order(read: Reader, rules: tuple[Rule, ...], path: str) -> None:
    """Every rule can be reached, and no redirect leads to itself."""
    for number, rule in enumerate(rules):
        for earlier, other in enumerate(rules[:number]):
            if other.ends and covers(other, rule):
                read.mistakes.append(
                    f"{path}[{number}]: is never reached, {path}[{earlier}] ends all its requests"
                )
                break
        if rule.redirect is not None and _leads_to_itself(rule, rule.redirect.to):
            read.mistakes.append(f"{path}[{number}].redirect.to: is a path that the rule itself redirects")


def covers(one: Rule, other: Rule) -> bool:
    """True if `one` is for every request that `other` is for."""
    if one.methods and not (other.methods and set(other.methods) <= set(one.methods)):
        return False
    place = (other.path if other.path is not None else other.path_prefix or "/").encode()
    if one.path is not None:
        return other.path == one.path
    if not is_within(place, (one.path_prefix or "/").encode()):
        return False
    if other.path is not None:
        return other.path not in one.except_paths
    # An exception of the first that lies within the second leaves it something to do.
    return all(not is_within(path.encode(), place) or path in other.except_paths for path in one.except_paths)


def _leads_to_itself(rule: Rule, to: str) -> bool:
    place = to.partition("?")[0].partition("#")[0]
    if rule.path is not None:
        return place == rule.path
    return is_within(place.encode(), (rule.path_prefix or "/").encode()) and place not in rule.except_paths
