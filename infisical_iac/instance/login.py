"""The logins by Google, GitHub and GitLab: their clients, variables, and callback addresses."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from infisical_iac.core.validation import Rule, SettingsModel, matching

Provider = Literal["google", "github", "gitlab"]
PROVIDERS: tuple[Provider, ...] = ("google", "github", "gitlab")
# Methods that the vendor sells, each with the feature of the license that it needs.
LICENSED = {"saml": "samlSSO", "ldap": "ldap", "oidc": "oidcSSO"}
Method = Literal["email", "google", "github", "gitlab", "saml", "ldap", "oidc"]
# The names of all methods for people.
TITLES: Mapping[str, str] = {
    "email": "e-mail and password",
    "google": "Google",
    "github": "GitHub",
    "gitlab": "GitLab",
    "saml": "SAML",
    "ldap": "LDAP",
    "oidc": "OIDC",
}
GITLAB_URL = "CLIENT_GITLAB_LOGIN_URL"
# The beginnings of the secrets of Google and GitLab; one of GitHub has 40 digits.
_SECRET = re.compile(r"(GOCSPX|gloas)-.*|[0-9a-f]{40}")


def client_id_of(provider: Provider) -> str:
    """Return the variable with the client id of a provider."""
    return f"CLIENT_ID_{provider.upper()}_LOGIN"


def client_secret_of(provider: Provider) -> str:
    """Return the variable with the client secret of a provider."""
    return f"CLIENT_SECRET_{provider.upper()}_LOGIN"


def _check_client_id(value: str) -> str:
    # The value stays out of the sentence: it may be the secret.
    if _SECRET.fullmatch(value):
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
            "google": self.google,
            "github": self.github,
            "gitlab": self.gitlab,
        }
        return {provider: client for provider, client in found.items() if client}

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of Infisical, without the client secrets."""
        found = {client_id_of(each): client.client_id for each, client in self.clients.items()}
        return found | ({GITLAB_URL: self.gitlab.address} if self.gitlab else {})

    def place_of(self, provider: Provider) -> str:
        """Return a provider's name, as people write it; of an own GitLab also the address."""
        if provider == "gitlab" and self.gitlab:
            return f"GitLab at {self.gitlab.address.removeprefix('https://')}"
        return TITLES[provider]


def callback_address(provider: Provider, site_url: str) -> str:
    """Return the callback: the address to which the provider sends people back after the login."""
    return f"{site_url.rstrip('/')}/api/v1/sso/{provider}"


def describe_callbacks(logins: Logins, site_url: str) -> list[str]:
    """Return a sentence for each provider on the callback that has to be entered there."""
    return [
        f"{logins.place_of(each)} must have the callback {callback_address(each, site_url)}: enter "
        "it in the application with your client id, before anybody logs in there"
        for each in logins.clients
    ]


def describe_new_callbacks(
    logins: Logins, site_url: str, deployed: Mapping[str, str]
) -> Iterator[str]:
    """Yield such sentences for providers that are new, have another client, or another callback.

    Args:
        deployed: the variables of the deployed Infisical; empty before the first deploy.
    """
    before = deployed.get("SITE_URL", site_url)
    sentences = describe_callbacks(logins, site_url)
    for provider, sentence in zip(logins.clients, sentences, strict=True):
        names = (client_id_of(provider), *((GITLAB_URL,) if provider == "gitlab" else ()))
        if any(deployed.get(name) != logins.variables[name] for name in names):
            yield sentence
        elif before != site_url:
            yield (
                f"site_url changes, and {logins.place_of(provider)} knows the callback "
                f"{callback_address(provider, before)}: enter "
                f"{callback_address(provider, site_url)} there too, or logins end in an error"
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
