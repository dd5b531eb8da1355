"""docs/reference/flag-service.md names everything there is, as the code has it."""

import ast
import re

from docs_support import REPO, page, tree

PAGE = page("reference/flag-service.md")


def test_every_metric_of_the_flag_service_is_told():
    counted = {"_counter", "CounterMetricFamily"}
    names = []
    for node in ast.walk(tree("flags/metrics.py")):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.args[0].value
            if isinstance(name, str) and name.startswith("sluice_"):
                names.append(name + "_total" * (getattr(node.func, "id", "") in counted))
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_key_of_its_file_is_told():
    sets = [node for node in ast.walk(tree("flags/config.py")) if isinstance(node, ast.Set)]
    keys = {item.value for found in sets for item in found.elts if isinstance(item, ast.Constant)}
    assert {"stale_seconds", "check_hostname", "event_readers"} <= keys
    assert [key for key in sorted(keys) if not re.search(rf"[`.]{key}[`.]", PAGE)] == []


def test_every_path_and_every_field_of_the_health_are_told():
    paths = re.findall(r'\(r"(/[a-z0-9/]+)', (REPO / "flags/handlers.py").read_text())
    assert len(paths) > 3
    assert [path for path in paths if path.rstrip("/") not in PAGE] == []
    health = next(
        node
        for node in ast.walk(tree("flags/service.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "health"
    )
    keys = [
        key.value
        for node in ast.walk(health)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    ]
    assert len(keys) > 10
    assert [key for key in keys if f'"{key}"' not in PAGE and f"`{key}`" not in PAGE] == []


def test_every_field_of_its_access_log_is_told():
    note = next(
        node
        for node in ast.walk(tree("flags/accesslog.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "note"
    )
    table = PAGE.partition("## Access log")[2].partition("\n## ")[0]
    names = {"size": "bytes"}
    fields = ["ts", *(names.get(word.arg, word.arg) for word in note.args.args[1:])]
    assert [field for field in fields if f"`{field}`" not in table] == []
