"""Log identities and people in, and set a person's second factor up.

The second factor as measured on the real server: a token without an organization may register an
app and verify it. A login asks for the app only after a setting of the account demands it, and
changing that setting takes a token of an organization. Infisical's own page changes it only if the
server can send mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from infisical_iac.agent import login as agent_login
from infisical_iac.agent.login import own_organizations, select_organization
from infisical_iac.agent.login import universal as universal
from infisical_iac.api.client import Client
from infisical_iac.core.errors import (
    ApiError,
    Refused,
    SettingsError,
    Unreachable,
    UserError,
    agent_failures,
)
from infisical_iac.core.validation import is_confidential


def oidc(client: Client, identity_id: str, jwt: str) -> Client:
    """Log in a machine identity with a token of its platform.

    The server fetches the issuer's keys, and waits without limit if the issuer hangs. So the login
    is not repeated, and Unreachable is raised after the client's timeout. Raises ApiError; its
    `status` is 401 or 403 for a refused token, and 404 for an identity without OIDC auth.
    """
    body = {"identityId": identity_id, "jwt": jwt}
    return client.with_token(client.post("/api/v1/auth/oidc-auth/login", json=body)["accessToken"])


# The variables of a login with a platform's token, as the loaders read them.
IDENTITY = "INFISICAL_MACHINE_IDENTITY_ID"
_FILE, _TOKEN, _AUDIENCE = "INFISICAL_JWT_FILE", "INFISICAL_JWT", "INFISICAL_JWT_AUDIENCE"
_REQUEST_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
_REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_DEFAULT_AUDIENCE = "infisical"
_PLATFORM_SECONDS = 20.0


def platform_token(environ: Mapping[str, str]) -> str:
    """Return the token of the platform that runs this process: from a file, a variable, or GitHub.

    Raises SettingsError if there is none, and Unreachable if GitHub does not answer, or fails.
    """
    if file := environ.get(_FILE, ""):
        try:
            token = Path(file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise SettingsError(
                f"{_FILE}: {file} can't be read ({why}): name the file that holds the token"
            ) from None
        if not token:
            raise SettingsError(f"{_FILE}: {file} is empty: name the file that holds the token")
        return token
    if token := environ.get(_TOKEN, ""):
        return token
    url, bearer = environ.get(_REQUEST_URL, ""), environ.get(_REQUEST_TOKEN, "")
    if not url or not bearer:
        raise SettingsError(
            f"{IDENTITY} is set, but there is no token to log in with: give the job `permissions: "
            f"id-token: write` at GitHub, or set {_FILE} or {_TOKEN}"
        )
    if not (address := _parse(url)):
        raise SettingsError(f"{_REQUEST_URL} is not an https:// address: let GitHub set it")
    if not (bearer.isascii() and bearer.isprintable()):
        raise SettingsError(f"{_REQUEST_TOKEN} is not one line in ASCII: let GitHub set it")
    return _ask_github(address, bearer, environ.get(_AUDIENCE) or _DEFAULT_AUDIENCE)


def _parse(url: str) -> httpx.URL | None:
    """Return an address to which credentials may go; None for another one."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    return address if address.host and is_confidential(url) else None


def _ask_github(address: httpx.URL, bearer: str, audience: str) -> str:
    place = address.host
    headers = {"Authorization": f"bearer {bearer}", "Accept": "application/json"}
    asked = address.copy_merge_params({"audience": audience})
    try:
        answer = httpx.get(asked, headers=headers, timeout=_PLATFORM_SECONDS)
    except httpx.RequestError:
        raise Unreachable(
            f"{place} did not answer the request for a token: run the job again"
        ) from None
    if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise Unreachable(
            f"{place} answers {answer.status_code} to the request for a token: run the job again"
        )
    try:
        body = answer.json() if answer.is_success else {}
    except (ValueError, RecursionError):
        body = {}
    token = body.get("value") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token:
        raise SettingsError(
            f"{place} gives no token ({answer.status_code}): give the job `permissions: id-token: "
            "write`"
        )
    return token


def by_platform(client: Client, environ: Mapping[str, str]) -> Client:
    """Log in the identity of INFISICAL_MACHINE_IDENTITY_ID with the platform's token.

    Raises what `platform_token` and `oidc` do.
    """
    return oidc(client, environ[IDENTITY], platform_token(environ))


def password(
    client: Client, email: str, password: str, organization_id: str | None = None
) -> Client:
    """Log a person in, and into one organization.

    Args:
        organization_id: which organization; None for the only one that the person is in.

    Raises ApiError (status 400 for a wrong password), or UserError if there are several
    organizations or a second factor is demanded.
    """
    with agent_failures():
        return agent_login.password(client, email, password, organization_id)


_APP = "/api/v1/user/me/totp"


@dataclass(frozen=True)
class NewApp:
    """An authenticator app that is registered, but not verified yet.

    Attributes:
        person: with the token that the password alone gives.
        member: with the token of an organization; None if the login asks for a code already.
        address: what an app reads from a QR code, such as `otpauth://totp/…`; it holds the key.
        recovery_codes: each replaces one code of the app, once.
    """

    email: str
    person: Client
    member: Client | None
    organization: str
    address: str
    recovery_codes: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return the key, for people who type it into the app."""
        return parse_qs(urlsplit(self.address).query)["secret"][0]

    def turn_on(self, code: str) -> None:
        """Verify the app by its present code, and have every login ask for one from now on.

        Raises ApiError, with the status 400 for a wrong code, and UserError if logins still need
        no code.
        """
        self.person.post(f"{_APP}/verify", json={"totp": code})
        if self.member is not None:
            body = {"isMfaEnabled": True, "selectedMfaMethod": "totp"}
            self.member.patch("/api/v2/users/me/mfa", json=body)
        if not select_organization(self.person, self.organization).get("isMfaEnabled"):
            raise UserError(
                f"Infisical still lets {self.email} log in with the password only: try again"
            )


def register_app(client: Client, email: str, password: str) -> NewApp:
    """Log a person in, and register an authenticator app for the account.

    An earlier app that the login does not ask for is replaced.

    Raises ApiError (status 400 for a wrong password), Refused for an account with a second factor
    and for an administrator of the server, and UserError for a person without an organization.
    """
    answer = client.post_again("/api/v3/auth/login", json={"email": email, "password": password})
    person = client.with_token(answer["accessToken"])
    organizations = own_organizations(person)
    if not organizations:
        raise UserError(
            f"{email} is in no organization yet: accept the invitation, then log in once with a "
            "browser"
        )
    chosen = organizations[0].id
    selected = select_organization(person, chosen)
    member = None
    has_one = Refused(
        f"{email} has a second factor already: to replace it, log in with it, and turn it off in "
        "the personal settings first"
    )
    if selected.get("isMfaEnabled"):
        # The login asks for an app even after it was removed; then a new one can be registered.
        if selected.get("mfaMethod") != "totp":
            raise has_one
    else:
        member = client.with_token(selected["token"])
        if member.get("/api/v2/users/me")["user"].get("superAdmin"):
            raise Refused(
                f"{email} is a server administrator, and the deploy logs in as one with nothing "
                "but the password: use your own account, as `people` of the project file names it"
            )
        if member.find(_APP, absent=(400, 404)):
            member.delete(_APP)
    try:
        made = person.post(f"{_APP}/register")
    except ApiError as error:
        if error.status != 400 or member is not None:
            raise
        raise has_one from None
    return NewApp(email, person, member, chosen, made["otpUrl"], tuple(made["recoveryCodes"]))
