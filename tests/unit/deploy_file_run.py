"""Plan with a given `deploy.py` by `forked.run`, because gevent patches the whole process."""

from infisical_iac.core.deployment import open_deployment, prepare

# isort: split
import os
from pathlib import Path

from infisical_iac.core.errors import UserError
from tests.unit.cluster.fake_run import _hosts


def main(directory: str, text: str | None, *how: str) -> list[str]:
    """Return the code and the sentence of the error that planning raises; empty without an error.

    Args:
        text: the content of `deploy.py`; None for no such file.
        how: with "connected", the host is connected already; else the inventory, if it is not
            `@local`.
    """
    os.chdir(directory)
    if text is not None:
        Path("deploy.py").write_text(text)
    try:
        if "connected" in how:
            with _hosts(["one"]) as host:
                prepare(host)
        else:
            with open_deployment(*(how or ("@local",)), writes=None):
                pass
    except UserError as error:
        return [error.code, str(error)]
    return []
