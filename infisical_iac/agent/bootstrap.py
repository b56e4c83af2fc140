"""Make the first administrator and organization of an Infisical that is new."""

import json
from typing import Any

from infisical_iac.agent.files import hold
from infisical_iac.agent.runner import Failure, Runner, action, failure_of

_LOCK = "/etc/infisical/lock"
_ADMIN = "/etc/infisical/admin.env"
_LOCK_SECONDS = 120
_MOST_CHARACTERS = 400
_CURL = ("curl", "--noproxy", "*", "--silent", "--show-error")


@action
def bootstrap(runner: Runner, *, port: int, organization: str) -> None:
    """Make the first administrator and organization, unless Infisical has them already.

    The server would accept several bootstraps at once, so runs take turns under a lock, and each
    checks first whether a bootstrap is needed. The password reaches curl by standard input. The
    answer's token is dropped, as nothing needs it. Raises RuntimeError with a Failure.

    Args:
        port: Infisical's port on the loopback.
        organization: the name of the organization.
    """
    api = f"http://127.0.0.1:{port}/api/v1/admin"
    with hold(runner.path(_LOCK), _LOCK_SECONDS, f"another run holds {_LOCK}"):
        if not _is_initialized(runner, api):
            _post(
                runner, f"{api}/bootstrap", {**_administrator(runner), "organization": organization}
            )


def _is_initialized(runner: Runner, api: str) -> bool:
    said = runner.must_run([*_CURL, "--fail", "--max-time", "20", f"{api}/config"])
    try:
        found = json.loads(said)["config"]["initialized"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, bool):
        raise RuntimeError(
            Failure("command", "Infisical's answer to admin/config is not understood")
        )
    return found


def _administrator(runner: Runner) -> dict[str, str]:
    lines = (runner.text(_ADMIN) or "").splitlines()
    found = {name: value for name, _, value in (line.partition("=") for line in lines)}
    return {
        "email": found.get("INFISICAL_ADMIN_EMAIL", ""),
        "password": found.get("INFISICAL_ADMIN_PASSWORD", ""),
    }


def _post(runner: Runner, url: str, body: dict[str, Any]) -> None:
    options = ["--max-time", "60", "--write-out", "\n%{http_code}", "--data", "@-"]
    header = ["--header", "Content-Type: application/json"]
    done = runner.run([*_CURL, *options, *header, url], stdin=json.dumps(body), seconds=90)
    if done.status != 0:
        raise failure_of(done.errors or "curl gave no reason")
    answer, _, status = done.text.rpartition("\n")
    if status != "200":
        raise RuntimeError(Failure("command", f"HTTP {status}: {answer[:_MOST_CHARACTERS]}"))
