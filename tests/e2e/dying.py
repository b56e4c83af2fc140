"""`python -m tests.e2e.dying <point> …`: run pyinfra and kill it at a point.

The process ends without any clean-up, right after the named step on the host or in Infisical and
before the next one.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from infisical_iac.api import identities
from infisical_iac.stack import compose, keys
from infisical_iac.workspace import bootstrap, converge, credentials
from infisical_iac.workspace import reconcile as workspace_operation

KILLED = 137


def _after(call: Callable[..., Any]) -> Callable[..., Any]:
    def die(*args: Any, **kwargs: Any) -> None:
        call(*args, **kwargs)
        os._exit(KILLED)

    return die


def _after_first_change(apply: Callable[..., Any]) -> Callable[..., Any]:
    def die(*args: Any, **kwargs: Any) -> None:
        next(iter(apply(*args, **kwargs)))
        os._exit(KILLED)

    return die


def _replace(module: object, name: str, with_: Callable[[Any], Any] = _after) -> None:
    setattr(module, name, with_(getattr(module, name)))


POINTS: dict[str, Callable[[], None]] = {
    "keys made": lambda: _replace(keys, "make"),
    "images fetched": lambda: _replace(compose, "fetch"),
    "files uploaded": lambda: _replace(compose, "write"),
    "containers up": lambda: _replace(compose, "up"),
    "bootstrap answered": lambda: _replace(bootstrap, "perform"),
    "deployer made": lambda: _replace(identities, "create"),
    "deployer can log in": lambda: _replace(bootstrap, "attach_universal_auth"),
    "deployer's secret answered": lambda: _replace(bootstrap, "create_client_secret"),
    "project made": lambda: _replace(converge, "apply", _after_first_change),
    "workspace made": lambda: _replace(workspace_operation, "converge"),
    "client secret answered": lambda: _replace(credentials, "create"),
}

if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    from pyinfra_cli.cli import cli

    POINTS[sys.argv.pop(1)]()
    cli()
