"""What the pages tell of flags' rules is what the engine does."""

import json
import re

import pytest
import yaml
from docs_support import page, rows
from sluice_flag_answers import ERROR, INVALID_CONTEXT, REASONS, TARGETING_KEY_MISSING
from sluice_flag_buckets import bucket
from sluice_flag_conditions import _GROUPS, _TESTS
from sluice_flag_match import _SHARES
from sluice_flag_rules import parse

REFERENCE = page("reference/flag-rules.md")
HOWTO = page("howto/roll-out-with-rules.md")


def examples():
    """Every document or rules of the pages, as documents."""
    blocks = re.findall(r"^```json\n(.*?)^```", REFERENCE, flags=re.M | re.S)
    unfenced = re.sub(r"^```.*?^```", "", HOWTO, flags=re.M | re.S)
    blocks += re.findall(r"(?:^(?: {4}| {8})[{ ].*\n)+", unfenced, flags=re.M)
    found = [json.loads(block) for block in blocks]
    return [example if "rules" in example else {"rules": example} for example in found]


def test_the_buckets_that_are_told_are_those_that_are_computed():
    found = re.findall(r"^\| `(\S+)` \| `(\S+)` \| (\d+) \|$", REFERENCE, flags=re.M)
    assert len(found) > 5
    assert [row for row in found if bucket(row[0], row[1]) != int(row[2])] == []


@pytest.mark.parametrize("document", examples())
def test_every_example_is_one_that_is_taken(document):
    parse("new-cart", document)


def test_there_are_examples():
    assert len(examples()) >= 7


def test_the_example_in_yaml_is_one_that_is_taken():
    (told,) = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", HOWTO, re.M | re.S)]
    parse("new-cart", told["new-cart"]["flag.rules"][0])


@pytest.mark.parametrize("word", [*_GROUPS, *_TESTS, *_SHARES, "if", "serve", "deny", "allow", "default"])
def test_every_word_of_the_rules_is_told(word):
    assert f"`{word}`" in REFERENCE or f'"{word}"' in REFERENCE


@pytest.mark.parametrize("word", [*REASONS, ERROR, INVALID_CONTEXT, TARGETING_KEY_MISSING])
def test_every_reason_and_error_has_a_row(word):
    assert rows(REFERENCE, word)
