"""Test that the sign-in page is compared with the settings, and restricted without a lock-out."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from infisical_iac.api import instance
from infisical_iac.api.client import Client
from infisical_iac.api.instance import LoginPage
from infisical_iac.core import journal
from infisical_iac.core.change import Change, Row, Unknown, UpToDate
from infisical_iac.core.errors import CheckFailed, NotBootstrapped, Refused, Unreachable
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.stack import session
from infisical_iac.workspace import sign_in
from infisical_iac.workspace.sign_in import (
    compare_pages,
    describe_sign_in,
    refuse_unlicensed,
)
from tests.unit.operations.cases import of
from tests.unit.performed import perform
from tests.unit.settings_of import settings_of

_GITLAB = {"client_id": "fake-client", "address": "https://gitlab.example.com"}
_LOGIN = {"google": {"client_id": "fake-google"}, "gitlab": _GITLAB}
_PAGES: dict[Any, LoginPage | None] = {
    "google": LoginPage("https://accounts.google.com/o/oauth2/v2/auth", "fake-google"),
    "github": None,
    "gitlab": LoginPage("https://gitlab.example.com/oauth/authorize", "fake-client"),
}
_ALL = ["email", "google", "github", "gitlab", "saml", "ldap", "oidc"]


class _Server:
    """An Infisical with logins: the requests that it got, and the resulting state."""

    def __init__(self) -> None:
        self.methods: list[str] | None = None
        self.own = ["email"]
        self.requests: list[str] = []
        self.offers = {"gitlab": "https://gitlab.example.com/oauth/authorize?client_id=fake-client"}
        self.locks_out = False

    def client(self) -> Client:
        return Client("http://fake", httpx.MockTransport(self.handle), "token")

    def administrator(self, _: int) -> Client:
        if self.locks_out and self.methods and "email" not in self.methods:
            raise NotBootstrapped("the password is refused")
        return self.client()

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append(f"{request.method} {path}")
        if path.startswith("/api/v1/sso/redirect/"):
            page = self.offers.get(path.rpartition("/")[2])
            if page:
                return httpx.Response(302, headers={"Location": page})
            body = {"error": "InternalServerError", "message": "Something went wrong"}
            return httpx.Response(500, json=body)
        if path == "/api/v2/users/me":
            return httpx.Response(200, json={"user": {"authMethods": self.own}})
        sent = httpx.Response(200, content=request.content).json() if request.content else {}
        if path == "/api/v2/users/me/auth-methods":
            self.own = sent["authMethods"]
            return httpx.Response(200, json={"user": {"authMethods": self.own}})
        assert path == "/api/v1/admin/config"
        if request.method == "PATCH":
            methods = sent["enabledLoginMethods"]
            if not {*methods} & {*self.own}:
                body = {"error": "BadRequest", "message": "to prevent account lockout"}
                return httpx.Response(400, json=body)
            self.methods = methods
        return httpx.Response(200, json={"config": {"enabledLoginMethods": self.methods}})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    found = _Server()
    monkeypatch.setattr(session, "api", lambda _: found.client())
    monkeypatch.setattr(session, "administrator", found.administrator)
    return found


def test_the_page_of_a_provider_is_read_once(server: _Server) -> None:
    """A provider that is not set up is answered by 500, which must not be tried again."""
    page = instance.login_page(server.client(), "gitlab")
    assert page == LoginPage("https://gitlab.example.com/oauth/authorize", "fake-client")
    assert instance.login_page(server.client(), "google") is None
    assert len(server.requests) == 2


def test_an_unreachable_server_offers_nothing_that_could_be_compared() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable):
        instance.login_page(Client("http://fake", httpx.MockTransport(fail)), "google")


@pytest.mark.parametrize(
    ("page", "fact"),
    [
        (None, "keys rotate gitlab"),
        (LoginPage("https://gitlab.com/oauth/authorize", "fake-client"), "gitlab.com"),
        (LoginPage("https://gitlab.example.com.evil.example/", "fake-client"), "evil"),
        (LoginPage("https://gitlab.example.com/oauth/authorize", "another"), "another"),
    ],
)
def test_a_provider_that_the_page_does_not_lead_to_has_a_remedy(
    page: LoginPage | None, fact: str
) -> None:
    login = settings_of(login={"gitlab": _GITLAB}).instance.login
    (sentence,) = compare_pages(login, {"gitlab": page}).values()
    assert fact in sentence


def test_pages_as_set_have_no_differences() -> None:
    assert compare_pages(settings_of(login=_LOGIN).instance.login, _PAGES) == {}


def _restrict(*methods: str) -> Callable[[], None]:
    settings = settings_of(login=_LOGIN, login_methods=methods)
    return lambda: sign_in._restrict(settings, methods)


def test_methods_with_a_password_are_set(server: _Server) -> None:
    _restrict("email", "gitlab")()
    assert server.methods == ["email", "gitlab"]
    assert server.own == ["email"]


def test_without_email_the_administrator_gets_another_method(server: _Server) -> None:
    """The server refuses a list without a method of the account that asks."""
    _restrict("gitlab")()
    assert server.methods == ["gitlab"]
    assert server.own == ["email", "gitlab"]


def test_methods_that_are_not_offered_yet_are_refused(server: _Server) -> None:
    with pytest.raises(Refused) as refused:
        _restrict("google")()
    assert refused.value.code == "refused.login_method"
    assert server.methods is None
    assert not [each for each in server.requests if not each.startswith("GET")]


@pytest.mark.parametrize(("before", "after"), [(None, _ALL), (["email"], ["email"])])
def test_methods_that_lock_the_deploy_out_are_taken_back(
    server: _Server, before: list[str] | None, after: list[str]
) -> None:
    server.locks_out, server.methods = True, before
    with pytest.raises(CheckFailed) as failed:
        _restrict("gitlab")()
    assert failed.value.code == "checks.login_method"
    assert server.methods == after


def test_a_method_that_the_license_lacks_is_refused() -> None:
    features = {"slug": "pro", "samlSSO": True, "oidcSSO": False}
    refuse_unlicensed(["email", "saml"], features)
    with pytest.raises(Refused, match="OIDC") as refused:
        refuse_unlicensed(["email", "oidc"], features)
    assert refused.value.code == "refused.login_method"
    assert not refused.value.blocks_others


def _row(actual: list[str] | None, pages: Any = None, **changes: Any) -> Row | None:
    return describe_sign_in(settings_of(**changes), pages or _PAGES, actual)


def test_a_sign_in_page_of_infisicals_own_has_no_row() -> None:
    nothing: Any = dict.fromkeys(_PAGES)
    assert _row(None, nothing) is None


def test_the_row_has_the_providers_and_methods() -> None:
    row = _row(None, login=_LOGIN)
    assert row
    assert (row.ok, row.is_note) == (True, False)
    assert _named(row) == ["e-mail", "Google", "gitlab.example.com"]
    methods = ("email", "gitlab")
    row = _row([*methods], login=_LOGIN, login_methods=methods)
    assert row
    assert _named(row) == ["e-mail", "gitlab.example.com"]


def _named(row: Row) -> list[str]:
    names = ("e-mail", "Google", "GitHub", "gitlab.example.com", "SAML", "OIDC", "LDAP")
    return [each for each in names if each in row.text]


def test_the_row_has_methods_that_differ() -> None:
    row = _row(_ALL[:2], login=_LOGIN, login_methods=("email",))
    assert row
    assert not row.ok
    assert "email, google" in row.text


def test_the_row_has_what_somebody_set_by_hand() -> None:
    row = _row(["email"])
    assert row
    assert (row.ok, row.is_note) == (True, True)
    assert "admin console" in row.text
    assert "login_methods" in row.text


def test_the_row_has_a_provider_that_is_not_offered() -> None:
    row = _row(None, _PAGES | {"google": None}, login=_LOGIN)
    assert row
    assert not row.ok
    assert "rotate google" in row.text


@pytest.mark.parametrize("pending", [False, True])
def test_a_new_login_waits_for_the_containers(
    server: _Server, monkeypatch: pytest.MonkeyPatch, pending: bool
) -> None:
    monkeypatch.setattr(session, "answers", lambda _: True)
    monkeypatch.setattr(journal, "part_will_change", lambda part: pending and part == "Stack")
    found = [*of(sign_in.providers)(settings_of(login=_LOGIN))]
    assert [type(each) for each in found] == [Unknown if pending else Change]
    server.offers["google"] = "https://accounts.google.com/o/oauth2/v2/auth?client_id=fake-google"
    (done,) = of(sign_in.providers)(settings_of(login=_LOGIN))
    assert isinstance(done, UpToDate)


@pytest.mark.parametrize("operation", [sign_in.providers, sign_in.methods])
def test_the_sign_in_page_of_an_infisical_that_starts_is_unknown(
    monkeypatch: pytest.MonkeyPatch, operation: Any
) -> None:
    monkeypatch.setattr(session, "answers", lambda _: False)
    monkeypatch.setattr(session, "unknown_contents", lambda: "unknown until it runs")
    found = [*of(operation)(settings_of(login=_LOGIN, login_methods=("email",)))]
    assert [str(each) for each in found if isinstance(each, Unknown)] == ["unknown until it runs"]


def test_methods_are_compared_with_the_server(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "answers", lambda _: True)
    settings = settings_of(login=_LOGIN, login_methods=("email", "gitlab"))
    assert perform(of(sign_in.methods)(settings)) == ["~ login methods: all → email, gitlab"]
    assert server.methods == ["email", "gitlab"]
    assert perform(of(sign_in.methods)(settings)) == []


@pytest.fixture
def running(server: _Server, monkeypatch: pytest.MonkeyPatch) -> _Server:
    """A server whose deployed logins have been removed from the settings."""
    monkeypatch.setattr(session, "answers", lambda _: True)
    monkeypatch.setattr(journal, "part_will_change", lambda part: False)
    monkeypatch.setattr(sign_in, "inspect", lambda _: DeployedInfisical())
    server.offers = {}
    return server


@pytest.mark.parametrize(
    ("before", "after"),
    [(["google"], ["google", "email"]), (["gitlab", "oidc"], ["gitlab", "oidc", "email"])],
)
def test_methods_that_let_nobody_in_any_more_get_email(
    running: _Server, before: list[str], after: list[str]
) -> None:
    running.methods = before
    (change,) = perform(of(sign_in.methods)(settings_of()))
    assert ", ".join(after) in change
    assert running.methods == after
    assert perform(of(sign_in.methods)(settings_of())) == []


@pytest.mark.parametrize("methods", [None, [], ["email"], ["email", "google"], ["gitlab"]])
def test_methods_that_let_somebody_in_stay_as_somebody_set_them(
    running: _Server, methods: list[str] | None
) -> None:
    running.methods = methods
    running.offers = {"gitlab": "https://gitlab.example.com/oauth/authorize?client_id=by-hand"}
    assert perform(of(sign_in.methods)(settings_of())) == []
    assert running.methods == methods


def test_methods_of_a_license_stay_as_somebody_set_them(running: _Server) -> None:
    running.methods = ["saml"]
    assert perform(of(sign_in.methods)(settings_of(license_key="offline"))) == []


def test_a_provider_that_the_run_removes_lets_nobody_in(
    running: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign-in page offers it until the containers are re-created."""
    running.methods = ["gitlab"]
    running.offers = {"gitlab": "https://gitlab.example.com/oauth/authorize?client_id=fake-client"}
    deployed = DeployedInfisical({"CLIENT_ID_GITLAB_LOGIN": "fake-client"})
    monkeypatch.setattr(sign_in, "inspect", lambda _: deployed)
    (change,) = [each for each in of(sign_in.methods)(settings_of()) if isinstance(each, Change)]
    assert "email" in change.detail
    with_it = settings_of(login={"gitlab": _GITLAB})
    assert perform(of(sign_in.methods)(with_it)) == []


def test_a_provider_that_the_run_adds_lets_somebody_in(
    running: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.methods = ["gitlab"]
    monkeypatch.setattr(journal, "part_will_change", lambda part: part == "Stack")
    assert perform(of(sign_in.methods)(settings_of(login={"gitlab": _GITLAB}))) == []


def test_the_row_of_methods_that_let_nobody_in_has_a_remedy() -> None:
    nothing: Any = dict.fromkeys(_PAGES)
    row = _row(["google"], nothing)
    assert row
    assert not row.ok
    assert "google" in row.text
    assert "('email',)" in row.text


def test_the_row_of_methods_of_a_license_has_what_somebody_set_by_hand() -> None:
    nothing: Any = dict.fromkeys(_PAGES)
    row = _row(["saml"], nothing, license_key="offline")
    assert row
    assert (row.ok, _named(row)) == (True, ["SAML"])
