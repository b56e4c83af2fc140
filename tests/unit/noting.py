"""A fake host that notes the steps of a change."""

from infisical_iac.core.errors import CheckFailed, UserError


class Noting:
    """Note steps in the place of a host and of its logger.

    Each of `failing` fails the next time, with an `error`. What steps print is in `said`.
    """

    error: type[UserError] = CheckFailed
    print_prefix = ""

    def __init__(self, **said: str) -> None:
        self.steps: list[str] = []
        self.failing: list[str] = []
        self.said = said

    def note(self, step: str) -> str:
        """Note a step, and return what it prints."""
        self.steps.append(step)
        if step in self.failing:
            self.failing.remove(step)
            raise self.error(f"{step} fails")
        return self.said.get(step, "")

    def run(self, command: str, *, doing: str) -> str:
        """Note a command, as `infisical_iac.core.remote.run` runs it."""
        return self.note(command)

    def info(self, _: str) -> None:
        """Log nothing."""
