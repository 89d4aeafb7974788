# SPDX-License-Identifier: MIT OR Apache-2.0
"""What Python says of a use that cannot work: the name that was meant, the client that is awaited."""

from __future__ import annotations

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

#: Words of other packages for what a result and a job have.
RESULT_NAMES = {
    "code": "exit_code",
    "files": "artifacts",
    "id": "job_id",
    "output": "stdout",
    "returncode": "exit_code",
    "text": "stdout",
}
JOB_NAMES = {"id": "job_id", "join": "wait", "output": "wait().stdout", "state": "status", "stdout": "wait().stdout"}


def missing(owner: str, name: str, known: Iterable[str], meant: Mapping[str, str]) -> AttributeError:
    """Make the error for an attribute that is not there.

    Args:
        owner: What lacks it, such as "'Job' object".
        name: Its name.
        known: Names that are there.
        meant: Names of other packages, with ours.
    """
    import difflib

    near = difflib.get_close_matches(name, [it for it in known if not it.startswith("_")], 1)
    guess = meant.get(name) or (near[0] if near else None)
    # Without `obj`, or Python adds a guess of its own.
    return AttributeError(
        f"{owner} has no attribute {name!r}" + (f"; did you mean {guess}?" if guess else ""), name=name
    )


def not_awaited(what: str, instead: str) -> NoReturn:
    """Refuse an `await`.

    Args:
        what: What was to be awaited.
        instead: What to do.
    """
    raise TypeError(f"{what} is not awaited: {instead}")
