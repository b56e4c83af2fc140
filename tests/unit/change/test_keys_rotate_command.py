"""Test which hosts `infisical-iac keys rotate` refuses, and when it inspects a host."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.core import lock, settings
from infisical_iac.host.model import MachineState
from infisical_iac.instance.settings import _NAMES
from tests.unit.settings_of import settings_of


class _Data(dict[str, object]):
    """The data of an inventory, with the method `dict` of pyinfra's class."""

    def dict(self) -> "_Data":
        return self


class _Host:
    """A host that records the lock and the facts that are read, in order."""

    def __init__(self, state: MachineState) -> None:
        self.name, self.state = "one", state
        self.done: list[str] = []

    @property
    def data(self) -> dict[str, object]:
        return _Data()

    def read_machine(self) -> MachineState:
        self.done.append("read machine")
        return self.state

    def lock(self, *_: object, **__: object) -> None:
        self.done.append("lock")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (MachineState(deployed=True, restoring="20261125T000000Z data"), "restore --undo` brings"),
        (MachineState(deployed=True, upgrading="a swapped b"), "`infisical-iac apply` ends it"),
        (MachineState(), "`infisical-iac apply` deploys it"),
    ],
)
def test_a_host_is_inspected_under_the_lock(
    monkeypatch: pytest.MonkeyPatch, state: MachineState, reason: str
) -> None:
    host = _Host(state)

    @contextmanager
    def connect(
        _: str, *, check: Callable[[list[_Host]], None], **_options: bool
    ) -> Iterator[_Host]:
        check([host])
        yield host

    # Importing the real module would let pyinfra patch the whole process.
    module = SimpleNamespace(connect=connect)
    monkeypatch.setitem(sys.modules, "infisical_iac.core.inventory", module)
    monkeypatch.setattr(settings, "load", lambda _: settings_of())
    monkeypatch.setattr(lock, "take", host.lock)
    monkeypatch.setattr("infisical_iac.host.machine.read_machine", host.read_machine)
    done = CliRunner().invoke(main, ["keys", "rotate", "redis"])
    assert (done.exit_code, host.done) == (1, ["lock", "read machine"])
    assert reason in done.output


@pytest.mark.parametrize("name", sorted({*_NAMES.values()}))
def test_the_name_of_each_secret_that_a_user_gives_is_documented(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs/operate/keys.md").read_text()
    assert re.search(rf"^\| .*`{name}`.* \|", page, re.MULTILINE)
    assert f"`{name}`" in CliRunner().invoke(main, ["keys", "rotate", "--help"]).output
