"""A fake host that records the steps of a change."""

from infisical_iac.core.errors import CheckFailed, UserError


class Noting:
    """Record steps in place of a host and of its logger.

    Each step in `failing` raises an `error` once. `said` has the output of steps, by step.
    """

    error: type[UserError] = CheckFailed
    print_prefix = ""

    def __init__(self, **said: str) -> None:
        self.steps: list[str] = []
        self.failing: list[str] = []
        self.said = said

    def note(self, step: str) -> str:
        """Record a step, and return its output. Raises `error` for a step in `failing`."""
        self.steps.append(step)
        if step in self.failing:
            self.failing.remove(step)
            raise self.error(f"{step} fails")
        return self.said.get(step, "")

    def run(self, command: str, *, doing: str) -> str:
        """Record a command, in place of `infisical_iac.core.remote.run`."""
        return self.note(command)

    def info(self, _: str) -> None:
        """Log nothing."""
