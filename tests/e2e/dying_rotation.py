"""`python -m tests.e2e.dying_rotation <point> …`: kill infisical-iac at a point of a rotation.

The running script on the host is killed right after one of its lines, and this process with it.
The point `unhealthy` kills nothing: it makes Infisical fail its checks with the new key. Another
point may follow it.
"""

import os
import sys
from typing import Any

from infisical_iac.core.errors import CheckFailed
from tests.e2e.dying_script import KILLED, die_at, replace

UNHEALTHY = "unhealthy"

# For each point: the script, and the end of the line after which the script is killed; or the
# agent, and its call after which this process ends. The service keeps the old key.
# tests/unit/change kills rotation.sh after every line.
EARLY = {
    "next written": ("rotation", 'store "$root/keys/$key.next"'),
    "in its place": ("rotation", 'replace "$place.next" "$place"'),
    "derived": ("agent", "keys.derive"),
}
# Points after PostgreSQL has got the new password.
LATE = {
    "altered": ("rotation", 'not know its new password: $(echo "$said" | tail -n 1)"'),
    "up": ("stack", "up --detach --remove-orphans $(but_for $left) 2>&1)"),
    "proven": ("rotation", "        enter proven"),
    "old forgotten": ("rotation", 'discard "$place".next* "$place".old*'),
}
BACK = {
    "about to go back": ("rotation", "    enter backing"),
    "back": ("rotation", "    enter back"),
}
# Points of a rotation of the repositories' password.
RESTIC = {
    "let in": ("agent", "restic.admit"),
    "in its place": EARLY["in its place"],
    "put out": ("agent", "restic.dismiss"),
}


POINTS = {**EARLY, **LATE, **BACK, **RESTIC}


def program(*points: str) -> tuple[str, ...]:
    """Return the program that runs `infisical-iac` and kills it at these points."""
    return (sys.executable, "-m", "tests.e2e.dying_rotation", ",".join(points))


def _fail_checks() -> None:
    from infisical_iac.workspace import checks

    def fail(*_: Any, **__: Any) -> Any:
        raise CheckFailed("the test makes this check fail")

    replace(checks, "check_as_before", fail)


def _die_after_agent(call: str) -> None:
    from infisical_iac.change import rotation
    from infisical_iac.core.agent import perform

    def die(question: Any, **more: Any) -> None:
        perform(question, **more)
        if call in [each.name for each in question.calls]:
            os._exit(KILLED)

    replace(rotation, "perform", die)


def _die_at(place: str, end: str) -> None:
    _die_after_agent(end) if place == "agent" else die_at(place, end)


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    for each in sys.argv.pop(1).split(","):
        _fail_checks() if each == UNHEALTHY else _die_at(*POINTS[each])
    main()
