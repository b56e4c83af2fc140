"""The logins by Google, GitHub and GitLab: their clients, variables, and callback addresses."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from infisical_iac.core.validation import Rule, SettingsModel, matching

Provider = Literal["google", "github", "gitlab"]
GITLAB_URL = "CLIENT_GITLAB_LOGIN_URL"


@dataclass(frozen=True)
class LoginProvider:
    """A provider of logins. To add one, add it to PROVIDERS.

    CONTRIBUTING.md, "Adding a kind", lists what it needs in other files.

    Attributes:
        title: its name, as people write it.
        page: the address that the sign-in page leads to.
        token: the address at which a client and its secret are checked.
        servers: the addresses that Infisical itself calls.
        secret: the pattern of its client secrets, which no client id matches.
    """

    title: str
    page: str
    token: str
    servers: tuple[str, ...]
    secret: str


def _gitlab_at(address: str) -> LoginProvider:
    token = f"{address}/oauth/token"
    return LoginProvider("GitLab", address, token, servers=(address,), secret="gloas-.*")


PROVIDERS: Mapping[Provider, LoginProvider] = {
    "google": LoginProvider(
        "Google",
        page="https://accounts.google.com",
        token="https://www.googleapis.com/oauth2/v4/token",
        servers=("https://www.googleapis.com",),
        secret="GOCSPX-.*",
    ),
    "github": LoginProvider(
        "GitHub",
        page="https://github.com",
        token="https://github.com/login/oauth/access_token",
        servers=("https://github.com", "https://api.github.com"),
        secret="[0-9a-f]{40}",
    ),
    "gitlab": _gitlab_at("https://gitlab.com"),
}
# Methods that the vendor sells, each with the feature of the license that it needs.
LICENSED = {"saml": "samlSSO", "ldap": "ldap", "oidc": "oidcSSO"}
Method = Literal["email", "google", "github", "gitlab", "saml", "ldap", "oidc"]
# The names of all methods for people.
TITLES: Mapping[str, str] = {
    "email": "e-mail and password",
    **{name: each.title for name, each in PROVIDERS.items()},
    "saml": "SAML",
    "ldap": "LDAP",
    "oidc": "OIDC",
}


def client_id_of(provider: Provider) -> str:
    """Return the variable with the client id of a provider."""
    return f"CLIENT_ID_{provider.upper()}_LOGIN"


def client_secret_of(provider: Provider) -> str:
    """Return the variable with the client secret of a provider."""
    return f"CLIENT_SECRET_{provider.upper()}_LOGIN"


def _check_client_id(value: str) -> str:
    # The message does not show the value: it may be the secret.
    if any(re.fullmatch(each.secret, value) for each in PROVIDERS.values()):
        raise ValueError(
            "looks like the client secret; write the client id, and make a new secret at the "
            "provider if this one was ever committed"
        )
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("is not a client id; copy the one that the provider shows, without blanks")
    return value


class LoginClient(SettingsModel):
    """The application that is registered at Google or GitHub. Its secret is not in the settings."""

    example: ClassVar = {"client_id": "1234.apps.googleusercontent.com"}

    client_id: Annotated[str, Rule(_check_client_id, "the client id that the provider shows")]
    """Client id of the application."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_secret(cls, value: Any) -> Any:
        if isinstance(value, dict) and any("secret" in str(each) for each in value):
            raise ValueError(
                "has a client secret, which is never in the settings; remove it, make another at "
                "the provider if this one was ever committed, and give it when `apply` asks for it"
            )
        return value


class GitlabClient(LoginClient):
    """The application that is registered at GitLab. Its secret is not in the settings."""

    address: Annotated[
        str,
        matching(
            r"https://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._-]+)*",
            "is not the address of a GitLab; write one such as https://gitlab.example.com, without "
            "a slash at its end",
        ),
    ] = "https://gitlab.com"
    """Address of the GitLab."""


class Logins(SettingsModel):
    """The providers of logins."""

    example: ClassVar = {"google": {"client_id": "1234.apps.googleusercontent.com"}}

    google: LoginClient | None = None
    """Application at Google."""

    github: LoginClient | None = None
    """Application at GitHub."""

    gitlab: GitlabClient | None = None
    """Application at gitlab.com, or at a GitLab of your own with its `address`."""

    @property
    def clients(self) -> dict[Provider, LoginClient]:
        """Return the clients that are set, by provider."""
        found: dict[Provider, LoginClient | None] = {
            name: getattr(self, name) for name in PROVIDERS
        }
        return {provider: client for provider, client in found.items() if client}

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of Infisical, without the client secrets."""
        found = [self.variables_of(each) for each in self.clients]
        return {name: value for each in found for name, value in each.items()}

    def variables_of(self, provider: Provider) -> dict[str, str]:
        """Return the variables of a provider whose client is set, without the secret."""
        found = {client_id_of(provider): self.clients[provider].client_id}
        if provider == "gitlab" and self.gitlab:
            found[GITLAB_URL] = self.gitlab.address
        return found

    def provider(self, name: Provider) -> LoginProvider:
        """Return a provider; a self-hosted GitLab has its own addresses."""
        if name == "gitlab" and self.gitlab:
            return _gitlab_at(self.gitlab.address)
        return PROVIDERS[name]

    def place_of(self, provider: Provider) -> str:
        """Return a provider's name for people; for a self-hosted GitLab also its address."""
        if provider == "gitlab" and self.gitlab:
            return f"GitLab at {self.gitlab.address.removeprefix('https://')}"
        return PROVIDERS[provider].title


def callback_address(provider: Provider, site_url: str) -> str:
    """Return the callback, the address for the redirect after a login at the provider."""
    return f"{site_url.rstrip('/')}/api/v1/sso/{provider}"


def describe_callbacks(logins: Logins, site_url: str) -> list[str]:
    """Return a sentence for each provider, with the callback to enter there."""
    return [
        f"{logins.place_of(each)} must have the callback {callback_address(each, site_url)}: enter "
        "it in the application with your client id, before anybody logs in there"
        for each in logins.clients
    ]


def describe_new_callbacks(
    logins: Logins, site_url: str, deployed: Mapping[str, str]
) -> Iterator[str]:
    """Yield such a sentence for each provider that is new or has another client or callback.

    Args:
        deployed: the variables of the deployed Infisical; empty before the first deploy.
    """
    before = deployed.get("SITE_URL", site_url)
    sentences = describe_callbacks(logins, site_url)
    for provider, sentence in zip(logins.clients, sentences, strict=True):
        desired = logins.variables_of(provider)
        if any(deployed.get(name) != value for name, value in desired.items()):
            yield sentence
        elif before != site_url:
            yield (
                f"site_url changes, and {logins.place_of(provider)} knows the callback "
                f"{callback_address(provider, before)}: enter "
                f"{callback_address(provider, site_url)} there too, or logins fail"
            )


def refuse_methods(
    methods: Collection[str], providers: Collection[str], *, has_license: bool
) -> None:
    """Raise ValueError for login methods that are not set up, or would let nobody in."""
    for each in methods:
        if each in PROVIDERS and each not in providers:
            raise ValueError(
                f"'login_methods' names {each!r}, which is not set up: add it to login, or remove "
                "it from login_methods"
            )
        if each in LICENSED and not has_license:
            raise ValueError(
                f"'login_methods' names {each!r}, which needs a license of Infisical: set "
                "license_key, or remove it from login_methods"
            )
    if methods and not {"email", *providers} & {*methods}:
        raise ValueError(
            f"'login_methods' would let nobody in if {TITLES[next(iter(methods))]} fails or is not "
            "set up: add 'email', or a provider of login"
        )
