"""Test what is refused: a private key as a recipient, and a restore beside other changes."""

import json
from dataclasses import asdict

import pytest
from pyrage.x25519 import Identity

from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.restore import SWAP
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.settings import load
from infisical_iac.host.machine import parse_machine
from infisical_iac.host.model import MachineState
from infisical_iac.workspace.preflight import refuse_unfinished_changes
from tests.unit.settings_of import defaults


def test_public_keys_are_accepted_as_recipients() -> None:
    public = str(Identity.generate().to_public())
    assert load(defaults(recovery_recipients=(public,))).backup.recovery_recipients == (public,)


def test_a_private_key_among_the_settings_is_refused_without_quoting_it() -> None:
    with pytest.raises(SettingsError, match=r"'recovery_recipients'.* public key") as refused:
        load(defaults(recovery_recipients=(str(Identity.generate()),)))
    assert "AGE-SECRET" not in str(refused.value)


def test_an_unfinished_restore_is_found_on_the_host() -> None:
    assert parse_machine(["restoring 20261125T180000Z data"]).restoring == ("20261125T180000Z data")
    assert parse_machine(["systemd"]).restoring == ""


@pytest.mark.parametrize(
    ("machine", "what"),
    [
        (MachineState(upgrading="20261125T101112Z-v0.165.16 backing x"), "change of version"),
        (MachineState(rotating="postgres_password switched"), "rotation"),
        (MachineState(rotating="restic_password prepared"), "rotation"),
    ],
)
def test_a_restore_waits_for_other_changes_to_end(machine: MachineState, what: str) -> None:
    """Also for one that has stopped, whose state is on the host as well."""
    with pytest.raises(Refused, match=f"{what}.*`infisical-iac apply`"):
        refuse_unfinished_changes(machine, restoring=True, scaling=False)
    refuse_unfinished_changes(machine, restoring=False, scaling=False)


def test_the_journal_of_a_restore_is_read_as_its_time_and_phase() -> None:
    text = json.dumps(
        {
            **asdict(TransactionJournal("restore", "20261125T180000Z", step=SWAP)),
            "named": ["20261125T180000Z"],
        }
    )
    assert parse_machine([f"restoring {text}"]).restoring == "20261125T180000Z begun"
    newer = text.replace(SWAP, "an unknown step")
    assert "newer" not in parse_machine([f"restoring {newer}"]).restoring
    assert parse_machine([f"restoring {newer}"]).unknown
