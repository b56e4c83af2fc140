"""`python -m tests.e2e.dying_rotation <point> …`: kill infisical-iac at a point of a rotation.

The agent on the host is killed right after one of its lines, and this process with it.
The point `unhealthy` kills nothing: it makes Infisical fail its checks with the new key. Another
point may follow it.
"""

import sys
from typing import Any

from infisical_iac.core.errors import CheckFailed
from tests.e2e.dying_agent import die_after_line
from tests.e2e.dying_script import AGENT, die_at, replace

UNHEALTHY = "unhealthy"

# For each point: the module of the agent, and the end of the line after which the agent is killed;
# or AGENT, and its call after which this process ends. The service keeps the old key.
# tests/unit/agent/test_rotation.py kills the agent at each of its effects.
EARLY = {
    "next written": ("rotation", "secrets.token_hex(_NEW_BYTES).encode())"),
    "in its place": ("rotation", "rename(_path(runner, key, from_), _path(runner, key))"),
    "derived": ("rotation", "    derive(work.runner)"),
}
# Points after PostgreSQL has got the new password.
LATE = {
    "altered": ("rotation", 'give_password(work.runner, _start_database(work.runner), "postgres")'),
    "up": ("stack", "        up(runner, file=file)"),
    "proven": ("rotation", "def _retire_other(work: StepContext) -> None:"),
    "old forgotten": ("rotation", '_retire(work.runner, work.plan["key"])'),
}
BACK = {
    "about to go back": ("rotation", "def _put_old_in_place(work: StepContext) -> None:"),
    "back": ("rotation", '_exchange(work.runner, work.plan["key"], ".old", ".next")'),
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


def _die(point: str) -> None:
    if point == UNHEALTHY:
        _fail_checks()
        return
    place, what = POINTS[point]
    if place == AGENT:
        die_at(place, what)
    else:
        die_after_line(place, what)


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    for each in sys.argv.pop(1).split(","):
        _die(each)
    main()
