"""Define the settings of Infisical itself: mail, networks, sessions, and further variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from infisical_iac.core.validation import EMAIL, SettingsModel, matching, within
from infisical_iac.instance.login import (
    PROVIDERS,
    TITLES,
    Logins,
    Method,
    client_secret_of,
    refuse_methods,
)
from infisical_iac.instance.network import (
    PROXY_PASSWORD,
    DirectHosts,
    InternalNetworks,
    Proxy,
    ProxyAddress,
    lifetime,
    parse_proxy,
    seconds,
)
from infisical_iac.instance.variables import Environment, SecretNames

_TlsMode = Literal["starttls", "tls", "none"]
# The port at which Infisical expects TLS from the first byte; at all others it begins in clear.
TLS_PORT = 465
# Names of this form are not in public DNS, so their servers are in a private network. Resolvers
# take a decimal or hexadecimal number for an address.
_PRIVATE_NAME = r"(?!\d+$|0x)[^.]+|.+\.(internal|local|lan|home\.arpa|test)"


# The file on the host with the authorities of `extra_ca`.
EXTRA_CA = "/etc/infisical-iac/extra-ca.crt"
# The variable that gives the password of the mail server.
MAIL_PASSWORD = "SMTP_PASSWORD"
# The server that checks an online license, unless LICENSE_SERVER_URL names another one.
LICENSE_SERVER = "https://portal.infisical.com"
# The beginning of the names of the files of given secrets.
GIVEN = "given_"
# The names of some secrets for `infisical-iac keys rotate`; the others have that of their variable.
_NAMES = {
    MAIL_PASSWORD: "smtp",
    **{client_secret_of(each): each for each in PROVIDERS},
    PROXY_PASSWORD: "proxy",
    "LICENSE_KEY": "license",
    "LICENSE_KEY_OFFLINE": "license",
}


@dataclass(frozen=True)
class Form:
    """The form of a given secret: a pattern, and what is required, for people."""

    pattern: str
    text: str


@dataclass(frozen=True)
class GivenSecret:
    """A secret that only the user has, and that the host keeps once it was given.

    Attributes:
        variable: the variable of Infisical that gets it. A run takes it from the variable of the
            same name, or from the file that the one with the ending `_FILE` names.
        purpose: a description for people.
        form: what its value must match; None for any text.
    """

    variable: str
    purpose: str
    form: Form | None = None

    @property
    def key(self) -> str:
        """Return the name of its file in /etc/infisical/keys."""
        return f"{GIVEN}{self.variable.lower()}"

    @property
    def name(self) -> str:
        """Return its name for `infisical-iac keys rotate`."""
        return _NAMES.get(self.variable, self.variable)

    @property
    def is_in_address(self) -> bool:
        """Return whether it is part of an address, which another variable passes to Infisical."""
        return self.variable == PROXY_PASSWORD


def given_by_key(key: str) -> GivenSecret | None:
    """Return the secret in a file of /etc/infisical/keys; None for another key."""
    variable = key.removeprefix(GIVEN).upper()
    return GivenSecret(variable, f"the value of {variable}") if key.startswith(GIVEN) else None


class Smtp(SettingsModel):
    """The mail server that Infisical sends by. Its password is not in the settings."""

    example: ClassVar = {
        "host": "smtp.example.com",
        "user": "infisical",
        "from_address": "infisical@example.com",
    }

    host: Annotated[
        str,
        matching(
            r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]+",
            "is no host; write a name such as smtp.example.com, without a scheme or port",
        ),
    ]
    """Name or address of the mail server."""

    port: Annotated[int, within(1, 65535, "choose the port of the mail server, mostly 587")] = 587
    """Port: 587 for `starttls`, 465 for `tls`."""

    tls: _TlsMode = "starttls"
    """`starttls` begins in clear text and requires TLS before the login; `tls` begins with TLS, at
    port 465 only; `none` sends everything in clear text, only to a private address."""

    user: Annotated[
        str, matching(r"[ -~]*", "is not a user; write the login of the mail server, in ASCII")
    ] = ""
    """Login at the mail server; empty for a server that asks for none."""

    from_address: Annotated[
        str, matching(EMAIL, "is not an e-mail address; write one that the server sends for")
    ]
    """Address that mails come from."""

    from_name: Annotated[
        str,
        matching(r'[^"\\<>\n\r\x00]+', "is not a name; write one without quotes, \\, < and >"),
    ] = "Infisical"
    """Name that mails come from."""

    @model_validator(mode="after")
    def _port_fits_the_tls_mode(self) -> Self:
        if self.tls == "tls" and self.port != TLS_PORT:
            raise ValueError(
                f"port {self.port} does not fit tls 'tls': Infisical begins with TLS at port "
                f"{TLS_PORT} only; write port {TLS_PORT}, or tls 'starttls'"
            )
        if self.tls != "tls" and self.port == TLS_PORT:
            raise ValueError(
                f"port {TLS_PORT} does not fit tls {self.tls!r}: Infisical begins with TLS there; "
                "write tls 'tls', or port 587"
            )
        if self.tls == "none" and not _is_private(self.host):
            raise ValueError(
                f"tls 'none' would send mails and the password to {self.host} in clear text; write "
                "'starttls' or 'tls', since 'none' is for a server at a private address only"
            )
        return self

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of Infisical, without the password."""
        found = {
            "SMTP_HOST": self.host,
            "SMTP_PORT": str(self.port),
            "SMTP_FROM_ADDRESS": self.from_address,
            "SMTP_FROM_NAME": self.from_name,
            "SMTP_REQUIRE_TLS": "false" if self.tls == "none" else "true",
            "SMTP_IGNORE_TLS": "true" if self.tls == "none" else "false",
        }
        return found | ({"SMTP_USERNAME": self.user} if self.user else {})


def _is_private(host: str) -> bool:
    try:
        address = ip_address(host)
        return not (getattr(address, "ipv4_mapped", None) or address).is_global
    except ValueError:
        return bool(re.fullmatch(_PRIVATE_NAME, host.lower()))


# The variables that `smtp` sets, without the password.
VARIABLES = (
    *("SMTP_HOST", "SMTP_PORT", "SMTP_USERNAME", "SMTP_FROM_ADDRESS", "SMTP_FROM_NAME"),
    *("SMTP_REQUIRE_TLS", "SMTP_IGNORE_TLS"),
)


class InstanceSettings(SettingsModel):
    """Infisical's own settings: mail, authorities, networks, sessions, and further variables.

    Secrets among them are never in `group_data/`. The first `apply` reads each from the variable of
    the environment with its name (`SMTP_PASSWORD`), from the file that the variable with `_FILE`
    names (`SMTP_PASSWORD_FILE`), or asks for it; the host keeps it under `/etc/infisical/keys`.
    """

    smtp: Smtp | None = Field(repr=False)
    """[Mail server](../operate/mail.md), such as `{"host": "smtp.example.com", "port": 587, "tls":
    "starttls", "user": "infisical", "from_address": "infisical@example.com", "from_name":
    "Infisical"}`; its password is `SMTP_PASSWORD`. `None`: Infisical sends no mail.

    Change: the next `apply` proves the login from the host, then re-creates the Infisical
    container.
    """

    login: Logins = Field(repr=False)
    """[Logins](../operate/login.md) by Google, GitHub and GitLab, in addition to e-mail and
    password, such as `{"google": {"client_id": "…"}, "gitlab": {"client_id": "…", "address":
    "https://gitlab.example.com"}}`; the client secrets are `CLIENT_SECRET_GOOGLE_LOGIN`,
    `CLIENT_SECRET_GITHUB_LOGIN` and `CLIENT_SECRET_GITLAB_LOGIN`. `plan` prints the callback to
    enter at the provider.

    Change: the next `apply` re-creates the Infisical container.
    """

    login_methods: tuple[Method, ...]
    """[Methods](../operate/login.md#restrict-the-methods) that people may log in by, such as
    `("email", "google")`. `()` leaves them as they are.

    Change: the next `apply` sets them in Infisical.
    """

    license_key: Literal["", "online", "offline"] = Field(repr=False)
    """[License](../operate/login.md#license) of Infisical: `online` is checked by the vendor's
    server, and its key is `LICENSE_KEY`; `offline` is checked by Infisical alone, and its key is
    `LICENSE_KEY_OFFLINE`. Empty for the free edition.

    Change: the next `apply` re-creates the Infisical container.
    """

    extra_ca: str
    """Certificates of authorities that Infisical trusts in addition to the public ones, for mail
    servers, Git servers and login providers of your own: a PEM file on your machine.

    Change: the next `apply` checks it and re-creates the Infisical container.
    """

    infisical_environment: Environment = Field(repr=False)
    """[Further variables](variables.md) of Infisical in clear text, such as
    `{"OTEL_EXPORT_OTLP_ENDPOINT": "https://otel.example.com/v1/metrics"}` for
    [metrics](../operate/network.md#metrics). Variables that follow from other settings, deprecated
    ones, and values that look like a secret are refused.

    Change: the next `apply` re-creates the Infisical container.
    """

    infisical_secrets: SecretNames = Field(repr=False)
    """Names of further variables that are secret, such as `("GITHUB_API_TOKEN",)`. Each value is
    given once.

    Change: the next `apply` asks for a value that it does not have, and re-creates the Infisical
    container.
    """

    outbound_proxy: Proxy = Field(repr=False)
    """[Proxy](../operate/network.md#a-proxy) for what Infisical asks others by HTTP and HTTPS:
    login providers, webhooks, integrations, the license server. A user may be in it, as in
    `http://infisical@proxy.internal:3128`; the password is `OUTBOUND_PROXY_PASSWORD`. Mail does not
    go through it. Empty: no proxy.

    Change: the next `apply` asks the proxy from the host, then re-creates the Infisical container.
    """

    no_proxy: DirectHosts
    """Hosts that Infisical reaches without the proxy, such as `("git.internal", ".example.net")`.
    An entry that begins with a dot stands for all names with this ending. PostgreSQL, Redis and
    loopback are always among them.

    Change: the next `apply` re-creates the Infisical container.
    """

    internal_networks: InternalNetworks
    """[Private networks](../operate/network.md#private-networks) that webhooks, integrations and
    dynamic secrets may call, such as `("10.1.0.0/16",)`. The host's firewall keeps containers from
    all other private networks. Servers that other settings name stay reachable at their address; a
    mail server or proxy that is given by name, at its port on any address. Empty: Infisical refuses
    all private addresses itself.

    Change: the next `apply` changes the firewall, and re-creates the Infisical container if the
    list was or becomes empty.
    """

    session_token_lifetime: Annotated[str, lifetime("5m", "1d")]
    """Lifetime of a signed-in person's token; the page gets a new one by itself, and so does
    `with-secrets` after a login by password. A login of
    [`with-secrets` in the browser](../develop/login.md#when-it-ends) can't, and ends with its
    token: 15 minutes by default. If people log in by Google and the like, write `"10h"`.

    Change: the next `apply` re-creates the Infisical container. Tokens keep the lifetime that they
    were made with.
    """

    session_idle_lifetime: Annotated[str, lifetime("15m", "90d")]
    """Time without a request after which a person has to sign in again; each new token restarts it.
    If an organization sets a limit of its own, in its security settings, that one counts.

    Change: as for `session_token_lifetime`.
    """

    @model_validator(mode="after")
    def _somebody_can_log_in(self) -> Self:
        has_license = bool(self.license_key)
        refuse_methods(self.login_methods, self.login.clients, has_license=has_license)
        return self

    @model_validator(mode="after")
    def _each_variable_is_set_once(self) -> Self:
        for name in self.infisical_secrets:
            if name in self.infisical_environment:
                raise ValueError(
                    f"{name} is in infisical_environment and in infisical_secrets; remove it from "
                    "one of them"
                )
        return self

    @model_validator(mode="after")
    def _session_lasts_longer_than_its_token(self) -> Self:
        if seconds(self.session_idle_lifetime) < seconds(self.session_token_lifetime):
            raise ValueError(
                f"session_idle_lifetime is {self.session_idle_lifetime}, shorter than "
                f"session_token_lifetime, {self.session_token_lifetime}: write the same or longer"
            )
        return self

    @model_validator(mode="after")
    def _no_proxy_needs_a_proxy(self) -> Self:
        if self.no_proxy and not self.outbound_proxy:
            raise ValueError(
                "'no_proxy' has no effect without a proxy: set outbound_proxy, or empty no_proxy"
            )
        return self

    @property
    def proxy(self) -> ProxyAddress | None:
        """Return the proxy; None without one."""
        return parse_proxy(self.outbound_proxy)

    @property
    def variables(self) -> Mapping[str, str]:
        """Return the variables of Infisical that follow from these settings, without secrets."""
        mail = self.smtp.variables if self.smtp else {}
        proxied = self.proxy.variables(self.no_proxy) if self.proxy else {}
        return mail | self.login.variables | proxied | self.infisical_environment

    @property
    def addresses(self) -> tuple[tuple[str, str], ...]:
        """Return the setting and the address of each server that Infisical calls by HTTP."""
        found = [
            ("infisical_environment", value)
            for value in self.infisical_environment.values()
            if value.startswith(("http://", "https://"))
        ]
        if self.license_key == "online" and "LICENSE_SERVER_URL" not in self.infisical_environment:
            found.append(("license_key", LICENSE_SERVER))
        for each in self.login.clients:
            found += [("login", address) for address in self.login.provider(each).servers]
        return tuple(found)

    def is_direct(self, name: str) -> bool:
        """Return whether Infisical reaches a host without the proxy."""
        if self.proxy is None or name == self.proxy.host:
            return True
        return any(
            name == each or (each[0] == "." and name.endswith(each)) for each in self.no_proxy
        )

    @property
    def secrets(self) -> tuple[GivenSecret, ...]:
        """Return the secrets that the user has to give."""
        found = []
        if self.smtp and self.smtp.user:
            found.append(
                GivenSecret(MAIL_PASSWORD, f"the password of the mail server {self.smtp.host}")
            )
        for each in self.login.clients:
            purpose = f"the client secret of {TITLES[each]}"
            found.append(GivenSecret(client_secret_of(each), purpose))
        if self.license_key:
            variable = "LICENSE_KEY" if self.license_key == "online" else "LICENSE_KEY_OFFLINE"
            found.append(GivenSecret(variable, "the license key"))
        if self.proxy and self.proxy.user:
            found.append(
                GivenSecret(PROXY_PASSWORD, f"the password of the proxy {self.proxy.place}")
            )
        for name in dict.fromkeys(self.infisical_secrets):
            found.append(GivenSecret(name, f"the value of {name}"))
        return tuple(found)
