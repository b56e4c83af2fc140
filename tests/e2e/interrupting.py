"""`python -m tests.e2e.interrupting <step> …`: send Ctrl-C to infisical-iac in a step.

The signal comes right after the step's first command on the host has ended.
"""

import os
import signal
import sys
from typing import Any


def interrupt_in(step: str) -> None:
    """Send this process SIGINT when the run executes the step of that name."""
    from pyinfra.api.host import Host

    original = Host.run_shell_command

    def call(self: Host, *args: Any, **kwargs: Any) -> Any:
        done = original(self, *args, **kwargs)
        operation = self.executing_op_hash
        if operation and step in self.state.get_op_meta(operation).names:
            os.kill(os.getpid(), signal.SIGINT)
        return done

    Host.run_shell_command = call  # type: ignore[method-assign]


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    interrupt_in(sys.argv.pop(1))
    main()
