"""`python -m tests.e2e.dying_rotation <point> …`: kill infisical-iac at a point of a rotation.

The running script on the host is killed right after one of its lines, and this process with it.
The point `unhealthy` kills nothing: it makes Infisical fail its checks with the new key. Another
point may follow it.
"""

import sys
from typing import Any

from infisical_iac.core.errors import CheckFailed
from tests.e2e.dying_script import AGENT, die_at, replace

UNHEALTHY = "unhealthy"

# For each point: the script, and the end of the line after which the script is killed; or the
# agent, and its call after which this process ends. The service keeps the old key.
# tests/unit/change kills rotation.sh after every line.
EARLY = {
    "next written": ("rotation", 'store "$root/keys/$key.next"'),
    "in its place": ("rotation", 'replace "$place.next" "$place"'),
    "derived": (AGENT, "keys.derive"),
}
# Points after PostgreSQL has got the new password.
LATE = {
    "altered": ("rotation", 'not know its new password: $(echo "$said" | tail -n 1)"'),
    "up": (AGENT, "stack.up"),
    "proven": ("rotation", "        enter proven"),
    "old forgotten": ("rotation", 'discard "$place".next* "$place".old*'),
}
BACK = {
    "about to go back": ("rotation", "    enter backing"),
    "back": ("rotation", "    enter back"),
}
# Points of a rotation of the repositories' password.
RESTIC = {
    "let in": (AGENT, "restic.admit"),
    "in its place": EARLY["in its place"],
    "put out": (AGENT, "restic.dismiss"),
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


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    for each in sys.argv.pop(1).split(","):
        _fail_checks() if each == UNHEALTHY else die_at(*POINTS[each])
    main()
