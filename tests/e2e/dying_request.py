"""`python -m tests.e2e.dying_request <number> …`: kill infisical-iac after a request.

The process ends without any clean-up, right after Infisical has answered its request of this number
that changes something.
"""

import os
import sys
from typing import Any

from tests.e2e.dying_script import KILLED, replace

_LOGINS = "/api/v1/auth/"


def program(number: int) -> tuple[str, ...]:
    """Return the program that runs `infisical-iac` and kills it after this request."""
    return (sys.executable, "-m", "tests.e2e.dying_request", str(number))


def _die_after(number: int) -> None:
    from infisical_iac.api.client import Client

    left = number
    original = Client._request

    def request(self: Client, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        answer = original(self, method, path, *args, **kwargs)
        if method != "GET" and not path.startswith(_LOGINS):
            left -= 1
            if not left:
                os._exit(KILLED)
        return answer

    replace(Client, "_request", request)


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    import pyinfra_cli  # noqa: F401, I001
    from infisical_iac.cli.main import main

    _die_after(int(sys.argv.pop(1)))
    main()
