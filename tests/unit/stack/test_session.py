"""Test the rate limits of a host's clients, and whose instance a host is."""

from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.stack import session

_DATA = {"admin_email": "admin@example.com"}
_READ = ("GET", "/api/v1/projects")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    data: dict[str, Any] = dict(_DATA)
    made = SimpleNamespace(
        name="here", connector=None, data=SimpleNamespace(values=data, dict=lambda: data)
    )
    monkeypatch.setattr(session, "host", made)
    monkeypatch.setattr(session, "_clients", {})
    return made


def test_the_setting_limits_the_client_of_a_host(host: SimpleNamespace) -> None:
    host.data.values["api_rate"] = {"reads": 7}
    client = session.api(8080)
    assert client.limiter.has_limit(*_READ)
    assert session.api(8080).with_token("fake").limiter is client.limiter


def test_the_client_of_a_host_has_no_limits_without_the_setting(host: SimpleNamespace) -> None:
    assert not session.api(8080).limiter.has_limit(*_READ)


def test_the_clients_of_two_hosts_have_limits_of_their_own(host: SimpleNamespace) -> None:
    first = session.api(8080)
    host.name = "there"
    assert session.api(8080).limiter is not first.limiter


@pytest.mark.parametrize("stored", ["", "INFISICAL_ADMIN_EMAIL=admin@example.com\n"])
def test_a_host_without_another_administrator_is_accepted(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "read_text", lambda path: stored)
    session.expect_administrator("admin@example.com")


def test_a_host_of_another_administrator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "INFISICAL_ADMIN_EMAIL=admin@example.com\n"
    monkeypatch.setattr(session, "read_text", lambda path: text)
    with pytest.raises(Refused, match=r"other@example\.com.* for admin@example\.com") as refused:
        session.expect_administrator("other@example.com")
    assert refused.value.code == "refused.other_administrator"
