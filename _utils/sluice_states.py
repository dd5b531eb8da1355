"""Say in one line why a state run failed."""

from typing import Any

from sluice_fleet import Answer, Fleet, one_line

# A first application installs packages; a mere change of weights takes about two seconds.
APPLY_SECONDS = 300


def apply_balancer(fleet: Fleet, balancers: list[str]) -> dict[str, str | None]:
    """Apply the balancer state; each balancer's id with None, or why it refused."""
    # One that meets another state run waits its turn, whatever the minion's own setting is.
    answers = fleet.call(balancers, "state.apply", "balancer", queue=True, timeout=APPLY_SECONDS)
    return {id_: refusal(answer) for id_, answer in answers.items()}


def failure(returned: object) -> str | None:
    """
    Why the state run that returned this failed, or None if it did not.

    `returned` is what state.apply gave: a dict of states, or a list of errors when nothing could be run.
    States that only waited for the one that failed are not named.
    """
    if isinstance(returned, list):
        return one_line("; ".join(str(line) for line in returned))
    if not isinstance(returned, dict):
        return one_line(returned)
    failed = [state for state in _in_order(returned) if state.get("result") is False]
    causes = [state for state in failed if not _only_waited(state)] or failed
    if not causes:
        return None
    first = causes[0]
    return f"{first.get('__id__', 'a state')}: {one_line(first.get('comment', ''))}{_output(first)}"


def refusal(answer: Answer) -> str | None:
    """Why a minion did not apply its states, from the way it answered; None if it did."""
    if answer.error is None or isinstance(answer.value, (dict, list)):
        return failure(answer.value) or answer.error
    return answer.error


def _in_order(returned: dict[str, Any]) -> list[dict[str, Any]]:
    states = [state for state in returned.values() if isinstance(state, dict)]
    return sorted(states, key=lambda state: int(state.get("__run_num__", 0)))


def _only_waited(state: dict[str, Any]) -> bool:
    return str(state.get("comment", "")).startswith("One or more requisite failed")


def _output(state: dict[str, Any]) -> str:
    changes = state.get("changes")
    stderr = changes.get("stderr") if isinstance(changes, dict) else None
    return f" ({one_line(str(stderr)[-300:])})" if stderr else ""
