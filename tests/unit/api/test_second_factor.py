"""Test how an authenticator app is turned on: by the API, and by the command."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner, Result

from infisical_iac.api.client import Client
from infisical_iac.api.login import register_app
from infisical_iac.cli import workspace
from infisical_iac.cli.main import main
from infisical_iac.core.errors import ApiError, Refused, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

_BEN, _PASSWORD = "ben@example.com", "fake-password"
_CODES = [str(each) for each in range(10_000_000, 10_000_010)]


@dataclass
class _Account:
    """The routes that an account needs, as the real server answered them.

    Attributes:
        method: the second factor that a login asks for; empty for none.
        app: whether an app is registered: "", "registered" or "verified".
    """

    method: str = ""
    app: str = ""
    is_super_admin: bool = False
    organizations: tuple[str, ...] = ("acme",)
    requests: list[str] = field(default_factory=list)

    def client(self) -> Client:
        return Client("http://fake", httpx.MockTransport(self.handle))

    def handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        what = f"{request.method} {request.url.path.removeprefix('/api')}"
        self.requests.append(what)
        routes: dict[str, Callable[[Any], tuple[int, Any]]] = {
            "POST /v3/auth/login": self._login,
            "GET /v1/organization": lambda _: (
                200,
                {"organizations": [{"id": each, "name": each} for each in self.organizations]},
            ),
            "POST /v3/auth/select-organization": self._select,
            "POST /v1/user/me/totp/register": self._register,
            "POST /v1/user/me/totp/verify": self._verify,
        }
        of_members: dict[str, Callable[[Any], tuple[int, Any]]] = {
            "GET /v2/users/me": lambda _: (200, {"user": {"superAdmin": self.is_super_admin}}),
            "GET /v1/user/me/totp": lambda _: (
                (200, {"isVerified": True}) if self.app == "verified" else _refuse(404)
            ),
            "DELETE /v1/user/me/totp": self._delete,
            "PATCH /v2/users/me/mfa": self._turn_on,
        }
        if what in of_members:
            assert token == "fake-member"
            status, answer = of_members[what](body)
        else:
            assert token == ("" if what.endswith("/login") else "fake-person")
            status, answer = routes[what](body)
        return httpx.Response(status, json=answer)

    def _login(self, body: Any) -> tuple[int, Any]:
        if body != {"email": _BEN, "password": _PASSWORD}:
            return _refuse(400, "Invalid credentials")
        return 200, {"accessToken": "fake-person"}

    def _select(self, body: Any) -> tuple[int, Any]:
        assert body == {"organizationId": "acme"}
        if self.method:
            return 200, {"token": "fake-mfa", "isMfaEnabled": True, "mfaMethod": self.method}
        return 200, {"token": "fake-member", "isMfaEnabled": False}

    def _register(self, _: Any) -> tuple[int, Any]:
        if self.app == "verified":
            return _refuse(400, "TOTP configuration for user already exists")
        self.app = "registered"
        address = "otpauth://totp/Infisical:ben%40example.com?secret=FAKEKEY&period=30"
        return 200, {"otpUrl": address, "recoveryCodes": _CODES}

    def _verify(self, body: Any) -> tuple[int, Any]:
        if body != {"totp": "123456"}:
            return _refuse(400, "Invalid TOTP token")
        self.app = "verified"
        return 200, {"recoveryCodes": _CODES}

    def _delete(self, _: Any) -> tuple[int, Any]:
        self.app = ""
        return 200, ""

    def _turn_on(self, body: Any) -> tuple[int, Any]:
        assert body == {"isMfaEnabled": True, "selectedMfaMethod": "totp"}
        assert self.app == "verified"
        self.method = "totp"
        return 200, {"user": {}}


def _refuse(status: int, message: str = "TOTP configuration not found") -> tuple[int, Any]:
    return status, {"statusCode": status, "message": message, "error": "BadRequest"}


def test_an_app_is_registered_verified_and_turned_on() -> None:
    account = _Account()
    app = register_app(account.client(), _BEN, _PASSWORD)
    assert (app.key, app.recovery_codes) == ("FAKEKEY", tuple(_CODES))
    assert account.method == ""
    app.turn_on("123456")
    assert account.method == "totp"


def test_a_wrong_code_turns_nothing_on() -> None:
    account = _Account()
    app = register_app(account.client(), _BEN, _PASSWORD)
    with pytest.raises(ApiError, match="Invalid TOTP"):
        app.turn_on("000000")
    assert (account.app, account.method) == ("registered", "")


def test_an_app_that_is_not_asked_for_is_replaced() -> None:
    account = _Account(app="verified")
    register_app(account.client(), _BEN, _PASSWORD).turn_on("123456")
    assert "DELETE /v1/user/me/totp" in account.requests
    assert account.method == "totp"


def test_a_removed_app_that_is_still_asked_for_is_registered_again() -> None:
    account = _Account(method="totp")
    register_app(account.client(), _BEN, _PASSWORD).turn_on("123456")
    assert account.app == "verified"


@pytest.mark.parametrize(
    "account",
    [
        _Account(method="totp", app="verified"),
        _Account(method="email"),
        _Account(method="webauthn"),
    ],
)
def test_a_second_factor_is_never_replaced(account: _Account) -> None:
    before = (account.method, account.app)
    with pytest.raises(Refused, match=_BEN):
        register_app(account.client(), _BEN, _PASSWORD)
    assert (account.method, account.app) == before


def test_an_administrator_of_the_server_is_refused() -> None:
    """The deploy logs in as the first one, by the password only."""
    account = _Account(is_super_admin=True)
    with pytest.raises(Refused, match=_BEN):
        register_app(account.client(), _BEN, _PASSWORD)
    assert account.app == ""


def test_a_person_without_an_organization_is_refused() -> None:
    with pytest.raises(UserError, match=_BEN):
        register_app(_Account(organizations=()).client(), _BEN, _PASSWORD)


def _run(
    monkeypatch: pytest.MonkeyPatch, account: _Account, *typed: str, url: str = "https://fake/api"
) -> Result:
    monkeypatch.setattr(workspace, "Client", lambda _: account.client())
    arguments = ["workspace", "second-factor", "--url", url, _BEN]
    return CliRunner().invoke(main, arguments, input="".join(f"{each}\n" for each in typed))


def test_the_command_prints_the_key_and_the_recovery_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    account = _Account()
    done = _run(monkeypatch, account, _PASSWORD, "000 000", "123 456")
    assert done.exit_code == 0, done.output
    assert account.method == "totp"
    assert "FAKEKEY" in done.stdout
    assert [each for each in _CODES if each not in done.stdout] == []
    assert _PASSWORD not in done.output


def test_the_command_gives_up_after_three_wrong_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    account = _Account()
    done = _run(monkeypatch, account, _PASSWORD, "1", "2", "3", "123456")
    assert done.exit_code == 1
    assert "Invalid TOTP" in done.stderr
    assert _CODES[0] not in done.output
    assert account.method == ""


def test_the_command_refuses_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    done = _run(monkeypatch, _Account(), "fake-wrong")
    assert done.exit_code == 1
    assert _BEN in done.stderr
    assert "fake-wrong" not in done.output


def test_the_command_sends_no_password_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    account = _Account()
    done = _run(monkeypatch, account, _PASSWORD, url="http://secrets.example.com")
    assert done.exit_code == 1
    assert "--url" in done.stderr
    assert account.requests == []
