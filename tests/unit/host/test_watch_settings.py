"""Test that invalid settings of the access log and of bans are refused with accepted values."""

from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import load
from tests.unit.settings_of import defaults


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("access_log_keep_days", 0, "1 to 3650 days"),
        ("access_log_keep_days", 4000, "1 to 3650 days"),
        ("access_log_max_mb", 10, "at least 50 megabytes"),
        ("fail2ban", "maybe", "'on', 'off' or 'auto'"),
        ("login_attempts", 2, "at least 3"),
        ("login_calls", 19, "at least 20"),
        ("login_window", 59, "60 to 604800"),
        ("login_ban", 604_801, "60 to 604800"),
    ],
)
def test_an_invalid_value_is_refused_with_the_accepted_values(
    key: str, value: Any, accepted: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(defaults(**{"ingress": "none", key: value}))
    what, _, remedy = str(refused.value).partition("; ")
    assert what.startswith(f"setting {key!r}: {value!r} ")
    assert accepted in remedy
