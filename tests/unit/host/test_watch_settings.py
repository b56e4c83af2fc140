"""The settings of the access log and of bans: each refusal names the setting and the remedy."""

from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import load
from tests.unit.settings_of import defaults


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"access_log_keep_days": 0}, "'access_log_keep_days': 0 is out of range"),
        ({"access_log_keep_days": 4000}, "choose 1 to 3650 days"),
        ({"access_log_max_mb": 10}, "'access_log_max_mb': 10 leaves no trail"),
        ({"fail2ban": "maybe"}, "'fail2ban': 'maybe' is not accepted; write 'on' or 'off'"),
        ({"login_attempts": 2}, "'login_attempts': 2 bans people who mistype a password"),
        ({"login_calls": 19}, "'login_calls': 19 bans services that start together"),
        ({"login_window": 59}, "'login_window': 59 is out of range; choose 60 to 604800"),
        ({"login_ban": 604_801}, "'login_ban': 604801 is out of range"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(defaults(**{"ingress": "none", **change}))
    assert sentence in str(refused.value)
