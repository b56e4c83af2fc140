"""Test that a private key is refused as a recipient, and that an unfinished restore is found."""

import pytest
from pyrage.x25519 import Identity

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import load
from infisical_iac.host.machine import parse_machine
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
