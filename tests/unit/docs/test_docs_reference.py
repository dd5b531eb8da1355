"""The reference names everything there is, as the code has it."""

import argparse
import ast
import json
import re

import pytest
import sluice_balancer_config
import yaml
from docs_support import REPO, page, rows, templates, tree

from lab import cli

DEFAULTS = {path.parent.name: path for path in sorted(REPO.glob("salt/*/defaults.yaml"))}
DEFAULTS["release_settings"] = REPO / "salt/master/release.yaml"


def flattened():
    """(key, word that must stand in its row, default) of every pillar key, two levels deep."""
    for role, path in DEFAULTS.items():
        for key, default in yaml.safe_load(path.read_text()).items():
            if isinstance(default, dict) and default:
                yield from ((f"{role}:{key}", sub, value) for sub, value in default.items())
            else:
                yield f"{role}:{key}", key, default


def is_short(default):
    """A default that a row tells word for word: no list, dict, URL or ACL rule."""
    return isinstance(default, (str, int, float)) and "://" not in str(default) and " " not in str(default)


@pytest.mark.parametrize(("key", "word", "default"), [*flattened()])
def test_every_pillar_key_has_a_row_with_its_default(key, word, default):
    found = [row for row in rows(page("reference/pillar.md"), key) if word in row]
    assert found, f"no row for {key} {word}"
    if is_short(default):
        told = json.dumps(default).strip('"')
        assert any(told in row for row in found), f"{key}: the default {told} is not in {found}"


def test_every_health_key_has_a_row_with_its_default():
    text = page("reference/pillar.md")
    for key, default in sluice_balancer_config.HEALTH.items():
        assert any(f"| `{default}` |" in row for row in rows(text, f"health:{key}")), key


def test_every_metric_is_told():
    text = page("reference/balancer.md")
    calls = [node for node in ast.walk(tree("balancer/exposition.py")) if isinstance(node, ast.Call)]
    made = [call for call in calls if getattr(call.func, "id", "").endswith("MetricFamily")]
    names = [call.args[0].value + "_total" * ("Counter" in call.func.id) for call in made]
    assert len(names) > 8
    assert [metric for metric in names if f"`{metric}`" not in text] == []


def test_every_field_of_the_access_log_is_told():
    add = next(
        node
        for node in ast.walk(tree("balancer/accesslog.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "add"
    )
    table = page("reference/balancer.md").partition("## Access log")[2].partition("\n## ")[0]
    fields = ["ts", *(word.arg for word in add.args.args[1:])]
    assert [field for field in fields if f"`{field}`" not in table] == []


def test_every_path_of_the_admin_api_is_told():
    paths = re.findall(r'\(r"(/[a-z]+)', (REPO / "balancer/admin.py").read_text())
    text = page("reference/balancer.md")
    assert len(paths) > 6
    assert [path for path in paths if not re.search(rf"`[A-Z]+ {path}\b", text)] == []


def test_every_key_of_the_balancers_file_is_told():
    text = page("reference/balancer.md")
    # The keys stand in sets, in every module that reads a part of the file.
    readers = [path for path in (REPO / "balancer").glob("*.py") if "Reader" in path.read_text()]
    sets = [node for path in readers for node in ast.walk(tree(path)) if isinstance(node, ast.Set)]
    keys = {item.value for found in sets for item in found.elts if isinstance(item, ast.Constant)}
    assert {"workers", "rise", "tokens_file"} <= keys
    assert [key for key in sorted(keys) if not re.search(rf"[`.]{key}[`.]", text)] == []


@pytest.mark.parametrize(("runner", "path"), [("release", "release.md"), ("flags", "flags.md")])
def test_every_function_of_a_runner_is_told_with_its_arguments(runner, path):
    text = page(f"reference/{path}")
    functions = [
        node
        for node in tree(f"_runners/{runner}.py").body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    assert len(functions) > 8
    told = {node.name: rows(text, f"{runner}.{node.name.rstrip('_')}`") for node in functions}
    assert [name for name, found in told.items() if not found] == []
    for node in functions:
        for argument in node.args.args:
            assert f"`{argument.arg}`" in told[node.name][0], f"{runner}.{node.name}: {argument.arg}"


def test_every_step_of_the_orchestrations_is_told():
    text = page("reference/release.md")
    steps = [
        step
        for name in ("canary", "rolling")
        for step in re.findall(r"^([A-Z].+):$", (REPO / f"salt/{name}.sls").read_text(), flags=re.M)
    ]
    assert len(steps) == 13
    assert [step for step in steps if step not in text] == []


def test_every_event_that_is_reacted_to_is_told():
    text = page("reference/release.md")
    tags = re.findall(r"^  - '(.+)':", (REPO / "conf/master.d/reactor.conf").read_text(), flags=re.M)
    assert tags
    told = [tag.replace("pushed/*", "pushed/<forge>").replace("*", "<service>") for tag in tags]
    assert [tag for tag in told if tag not in text] == []


@pytest.mark.parametrize("folder", ["_modules", "_states"])
def test_every_function_that_salt_loads_is_told(folder):
    text = page("reference/states.md")
    missing = []
    for path in sorted((REPO / folder).glob("*.py")):
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                told = f"`{path.stem}.{node.name.rstrip('_')}"
                if told not in text and node.name != "summarise":
                    missing.append(told)
    assert missing == []


def test_every_lab_command_and_option_is_told():
    text = page("reference/lab.md")
    top = cli.parser()
    commands = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction)).choices
    assert [name for name in commands if not rows(text, f"lab {name}")] == []
    for parser in (top, *commands.values()):
        options = [a.option_strings[-1] for a in parser._actions if a.option_strings]
        assert [option for option in options if option not in text] == []


def test_every_setting_of_the_environment_is_told():
    code = "".join(path.read_text() for path in [REPO / "lab/settings.py", REPO / "tests/e2e/conftest.py"])
    names = set(re.findall(r"\bSLUICE_[A-Z_]*[A-Z]\b", code))
    assert len(names) > 3
    assert [name for name in sorted(names) if name not in page("reference/lab.md")] == []


def test_every_field_of_the_demos_result_is_told():
    text = page("tutorial/first-canary.md")
    fields = set(re.findall(r"result\[['\"]([a-z_]+)['\"]\]", (REPO / "lab/demo/report.py").read_text()))
    assert len(fields) > 8
    assert [field for field in sorted(fields) if f"`{field}" not in text and f"`{field}." not in text] == []


@pytest.mark.parametrize(
    "path",
    [
        "howto/when-a-canary-fails.md",
        "howto/raise-and-clear-an-alert.md",
        "howto/change-the-ratio.md",
        "howto/request-rules.md",
        "howto/keep-users-on-a-version.md",
        "howto/run-the-lab.md",
        "howto/set-up-redis.md",
        "howto/roll-out-with-rules.md",
        "howto/flip-a-flag.md",
    ],
)
def test_every_message_that_is_explained_is_one_the_code_says(path):
    known = templates()
    quoted = [row.split("|")[1].strip().strip("`") for row in rows(page(path), "")]
    assert len(quoted) > 2
    parts = [part.strip() for text in quoted for part in text.split("…") if len(part.strip()) > 3]
    assert [part for part in parts if not any(part in text for text in known)] == []


def test_every_field_of_the_result_of_the_demo_of_flags_is_told():
    text = page("tutorial/first-flag.md")
    totals = next(
        node
        for node in ast.walk(tree("lab/demo_flags/story.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "_totals"
    )
    returned = next(node.value for node in totals.body if isinstance(node, ast.Return))
    fields = {key.value for key in returned.keys if key is not None}
    fields |= {"phases", "setup_seconds", "sentinel", "healed_ms"}
    assert len(fields) > 12
    assert [field for field in sorted(fields) if f"`{field}" not in text] == []
