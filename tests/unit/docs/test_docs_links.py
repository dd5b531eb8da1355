"""What the pages point to is there."""

import re

import pytest
from docs_support import PAGES, REPO, anchors, name, prose, sources

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Home directories and scratch places of whoever wrote a page.
OF_A_DEVELOPER = re.compile(r"(?<![\w.])/(home|Users|root|tmp|work)/\S*")


def links(page):
    return [link for link in LINK.findall(prose(page.read_text())) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_or_folder(page):
    missing = [link for link in links(page) if not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_anchor_is_a_heading(page):
    missing = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if anchor and anchor not in anchors(target.read_text()):
            missing.append(link)
    assert missing == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [REPO / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert [name(page) for page in PAGES if page not in reached and page.name != "CHANGELOG.md"] == []


def test_every_page_that_the_code_names_is_there():
    named = {
        (path.relative_to(REPO).as_posix(), found)
        for path, text in sources()
        for found in re.findall(r"(?<![\w/.])docs/[a-z0-9/_-]+\.md", text)
        if "tests/unit/docs" not in path.as_posix()
    }
    assert named
    assert [pair for pair in sorted(named) if not (REPO / pair[1]).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_path_of_a_developers_machine(page):
    assert [found.group() for found in OF_A_DEVELOPER.finditer(page.read_text())] == []
