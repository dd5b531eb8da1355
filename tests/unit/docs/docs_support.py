"""The pages of the documentation, and the pieces of code they must keep up with."""

import ast
import functools
import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
PAGES = [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").rglob("*.md"))]
CODE = [
    "balancer",
    "flags",
    "lab",
    "_engines",
    "_modules",
    "_netapi",
    "_pillar",
    "_runners",
    "_states",
    "_utils",
]
TEXTS = ["conf", "pillar", "reactor", "salt"]


def name(page):
    return page.relative_to(REPO).as_posix()


def page(path):
    return (REPO / "docs" / path).read_text()


def prose(text):
    """A page without its blocks of commands, fenced or indented."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"(?<=\n\n)(    .*\n|\n)+", "", text)


def anchors(text):
    """What the headings of a page can be linked by, as GitHub and others make it."""
    headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(text, key):
    """The table rows whose first cell begins with a key."""
    return [line for line in text.splitlines() if line.startswith(f"| `{key}")]


def sources():
    """Every file of code, and of what Salt reads, as path and text."""
    for folder in (*CODE, *TEXTS, "scripts", "tests"):
        for path in sorted((REPO / folder).rglob("*")):
            is_text = path.suffix in (".py", ".sls", ".jinja", ".conf", ".yaml", ".toml", ".txt", ".js", "")
            if path.is_file() and is_text and not {"__pycache__", "node_modules"} & set(path.parts):
                yield path, path.read_text(errors="replace")


def tree(path):
    return ast.parse((REPO / path).read_text())


@functools.cache
def templates():
    """Every text in the code, with … for what is filled in; and the files of Salt as they are."""
    found = []
    for folder in CODE:
        for path in (REPO / folder).rglob("*.py"):
            found += [_template(node) for node in ast.walk(ast.parse(path.read_text()))]
    found += [text for path, text in sources() if path.relative_to(REPO).parts[0] in TEXTS]
    return [text for text in found if text]


def _template(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
