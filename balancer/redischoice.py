"""Which Redis is the master, and which one tells of alerts, by what all of them say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MASTER, REPLICA = "master", "replica"


@dataclass(frozen=True)
class Look:
    """
    What a server says of itself: its role; the term in its data, 0 if there is none; and of a replica whether
    its link to its master is up, of a master how many replicas follow it.
    """

    role: str
    term: int
    linked: bool = True
    replicas: int = 0


@dataclass(frozen=True)
class Choice:
    """
    The servers to use, by id, and the highest term known; None where there is none to be used.

    master
        Takes what this balancer writes.
    reader
        Tells of alerts.
    stale
        Say that they are the master, and are not.
    """

    term: int = 0
    master: str | None = None
    reader: str | None = None
    stale: tuple[str, ...] = ()


def choose(looks: Mapping[str, Look | None], known_term: int, named: str | None = None) -> Choice:
    """
    Choose among all servers of the file.

    looks
        Id to what the server said last, or None if it does not answer; in the order of the file.
    known_term
        The highest term ever seen: a master of a lower one has been replaced, though its successor may not
        answer. It is forgotten only if every server answers and none has it: then they began anew.
    named
        Whom the Sentinels call master; it is, if it says so too. They do not raise the term. None: there are
        no Sentinels, or they do not agree.

    The master is the one with the highest term; of several with the same, the one that most replicas follow,
    then the first. It also tells of alerts, for nobody knows of a change earlier, least of all of a key that
    was deleted. Without it a replica does whose link is up and that has the same term; others may be far
    behind.
    """
    answers = {name: look for name, look in looks.items() if look is not None}
    masters = [name for name, look in answers.items() if look.role == MASTER]
    if named is not None:
        master = named if named in masters else None
        term = answers[named].term if named in answers else known_term
    else:
        highest = max((look.term for look in answers.values()), default=0)
        term = highest if len(answers) == len(looks) else max(known_term, highest)
        master = _first([name for name in masters if answers[name].term >= term], answers)
    following = [
        name for name, look in answers.items() if look.role == REPLICA and look.linked and look.term >= term
    ]
    stale = [name for name in masters if name != master and (master or answers[name].term < term)]
    return Choice(term, master, master or next(iter(following), None), tuple(stale))


def _first(masters: list[str], answers: Mapping[str, Look]) -> str | None:
    return max(masters, key=lambda name: (answers[name].term, answers[name].replicas), default=None)
