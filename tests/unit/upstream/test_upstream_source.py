"""The order in which the real application's own generator fills its database."""

import pytest

from tests.upstream.__main__ import indented
from tests.upstream.source import bodies, called

JAVA = """
public class Generator {
    public void all() throws IOException {
        codes();
        // never();
        if (wanted) { executeSQLFile(DIR + "/patient1.sql"); }
        /* executeSQLFile(DIR + "/old.sql"); */
        codes();
    }
    public void codes() { executeSQLFile(DIR + "/a.sql"); executeSQLFile(DIR + "/b.sql"); elsewhere(); }
    public void never() { executeSQLFile(DIR + "/never.sql"); }
}
"""


def test_files_come_in_the_order_of_the_calls_and_comments_are_none():
    found = list(called(bodies(JAVA), "all"))
    assert found == ["a.sql", "b.sql", "patient1.sql", "a.sql", "b.sql"]


def test_method_that_is_not_there_is_no_empty_list():
    with pytest.raises(KeyError):
        list(called(bodies(JAVA), "standardData"))


def test_what_pillar_is_told_is_yaml_below_its_key():
    told = indented({"sql": "sql", "build": ["mvn", "package"], "environment": {"A": "b"}}, 4)
    assert told == '    sql: "sql"\n    build: ["mvn", "package"]\n    environment: {"A": "b"}\n'
