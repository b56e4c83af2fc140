"""`python -m tests.e2e.dying_rotation <point> …`: kill infisical-iac at a point of a rotation.

The agent on the host is killed right after one of its lines, and this process with it.
The point `unhealthy` kills nothing: it makes Infisical fail its checks with the new key. Another
point may follow it.
"""

import sys

from tests.e2e.dying_agent import insert_line
from tests.e2e.dying_script import AGENT, die_at

UNHEALTHY = "unhealthy"
_ROTATION = "agent/rotation"

# The arguments of `die_at` for each point. The service keeps the old key.
# tests/unit/agent/test_rotation.py kills the agent at each of its effects.
EARLY = {
    "next written": (_ROTATION, "secrets.token_hex(_NEW_BYTES).encode())"),
    "in its place": (_ROTATION, "rename(_path(runner, key, from_), _path(runner, key))"),
    "derived": (_ROTATION, "    derive(work.runner)"),
}
# Points after PostgreSQL has got the new password.
LATE = {
    "altered": (_ROTATION, 'give_password(work.runner, _start_database(work.runner), "postgres")'),
    "up": ("agent/stack", "        up(runner)"),
    "proven": (_ROTATION, "def _retire_other(work: StepContext) -> None:"),
    "old forgotten": (_ROTATION, '_retire(work.runner, work.plan["key"])'),
}
BACK = {
    "about to go back": (_ROTATION, "def _put_old_in_place(work: StepContext) -> None:"),
    "back": (_ROTATION, '_exchange(work.runner, work.plan["key"], ".old", ".next")'),
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
    failure = 'raise RuntimeError(Failure("checks", "the test makes this check fail"))'
    insert_line("rotation", "def _check(work: StepContext) -> None:", failure)


def _die(point: str) -> None:
    if point == UNHEALTHY:
        _fail_checks()
        return
    die_at(*POINTS[point])


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    for each in sys.argv.pop(1).split(","):
        _die(each)
    main()
