"""Report what prevents a run before anything is done: bad recipients, an unfinished restore."""

import pytest
from pyrage.x25519 import Identity

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import load
from infisical_iac.host.machine import Machine
from tests.unit.settings_of import defaults


def test_public_keys_are_recipients() -> None:
    public = str(Identity.generate().to_public())
    assert load(defaults(recovery_recipients=(public,))).backup.recovery_recipients == (public,)


def test_a_private_key_among_the_settings_is_refused_unseen() -> None:
    with pytest.raises(SettingsError, match=r"'recovery_recipients'.* is a public key") as refused:
        load(defaults(recovery_recipients=(str(Identity.generate()),)))
    assert "AGE-SECRET" not in str(refused.value)


def test_a_restore_that_has_not_ended_is_seen() -> None:
    assert Machine().process(["restoring 20261125T180000Z data"]).restoring == (
        "20261125T180000Z data"
    )
    assert Machine().process(["systemd"]).restoring == ""
