"""
The .pxd files, by which some modules are compiled, tell the same as the modules themselves.

A compiled class has only the attributes that its .pxd declares: one that is missing there would be an
AttributeError in production and nowhere else. `cdef public object name` is always right.
"""

import ast
import re
from pathlib import Path

import pytest

BALANCER = Path(__file__).parents[3] / "balancer"
CLASSES = [
    pytest.param(path, name, id=f"{path.stem}.{name}")
    for path in sorted(BALANCER.glob("*.pxd"))
    for name in re.findall(r"^cdef class (\w+)", path.read_text(), re.MULTILINE)
]


def declared(path, name):
    """The attributes and methods of a class in a .pxd file."""
    text = path.read_text().partition(f"cdef class {name}")[2]
    body = re.split(r"^\S", text.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    attributes = {
        word.strip()
        for names in re.findall(r"^    cdef public (?:\w+ )*?(\w+(?:, \w+)*)$", body, re.MULTILINE)
        for word in names.split(",")
    }
    return attributes, set(re.findall(r"^    cpdef .*?(\w+)\(", body, re.MULTILINE))


def written(path, name):
    """The attributes that a class gives itself, and its methods."""
    tree = ast.parse(path.with_suffix(".py").read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    attributes = {
        node.attr
        for node in ast.walk(found)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and getattr(node.value, "id", None) == "self"
    }
    return attributes, {node.name for node in found.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), CLASSES)
def test_every_attribute_of_a_compiled_class_is_declared(path, name):
    told, really = declared(path, name)[0], written(path, name)[0]
    assert told == really, f"{path.name}: {name}: missing {really - told}, gone {told - really}"


@pytest.mark.parametrize(("path", "name"), CLASSES)
def test_a_declared_method_is_there(path, name):
    assert declared(path, name)[1] - written(path, name)[1] == set()


def test_the_classes_that_every_request_meets_are_compiled():
    assert {param.values[1] for param in CLASSES} >= {"Client", "Exchange", "Request", "Route", "Upstream"}
