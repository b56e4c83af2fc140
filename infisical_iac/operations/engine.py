"""An engine that is not this project's."""

from pyinfra.context import host

from infisical_iac.operations.telling import Commands, telling_operation


@telling_operation
def left(why: str) -> Commands:
    """Change nothing; the preflight has looked whether the engine is one that Infisical runs on."""
    host.noop(why)
    yield from ()
