"""Prove the login at the mail server from the host, and send test mails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml
from pyinfra.context import host

from infisical_iac.core.change import Row, UpToDate
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.facts import Fact
from infisical_iac.core.operation import Commands, planned_operation, shared_fact, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.instance import authorities, given
from infisical_iac.instance.settings import MAIL_PASSWORD, VARIABLES, GivenSecret, Smtp


@dataclass(frozen=True)
class MailState:
    """The mail server of the deployed container.

    Attributes:
        variables: its variables without the password.
        has_password: whether the host has a password for it.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    has_password: bool = False


class Mail(Fact[MailState]):
    """Read the MailState from the Compose file and the keys on the host."""

    def command(self) -> str:
        return script("mail", "state")

    def process(self, output: list[str]) -> MailState:
        password, *text = output
        services = (yaml.safe_load("\n".join(text)) or {}).get("services", {})
        found = services.get("infisical", {}).get("environment", {})
        variables = {name: str(found[name]) for name in VARIABLES if name in found}
        return MailState(variables, password == "password")


@planned_operation
def login(settings: Settings) -> Commands:
    """Prove the login at the mail server, unless the running Infisical has the same one.

    Nothing is sent. Raises RunFailed with the server's reason and the remedy; the containers stay
    as they are then.
    """
    if settings.instance.smtp is None:
        yield from decide(settings, MailState(), "")
        return
    trusted = shared_fact(authorities.DeployedAuthorities)
    yield from decide(settings, host.get_fact(Mail), trusted)


def decide(settings: Settings, there: MailState, trusted: str) -> Commands:
    """Decide whether to prove the login, by the deployed mail server and authorities."""
    smtp = settings.instance.smtp
    if smtp is None:
        yield UpToDate("no mail server is set")
        return
    desired = {name: value.replace("$", "$$") for name, value in smtp.variables.items()}
    others = smtp.tls != "none" and authorities.has_changed(settings, trusted)
    if desired == there.variables and (there.has_password or not smtp.user) and not others:
        yield UpToDate(f"Infisical sends by {smtp.host} already")
        return
    yield step(prove, settings)


def prove(settings: Settings, to: str = "", password: str = "") -> None:
    """Log in to the mail server from the current host; with `to`, send a mail there.

    Args:
        to: the recipient of a test mail; empty to send none.
        password: another password than the host's, or the one given to this run.

    Raises RunFailed with the server's reason and the remedy.
    """
    if why := try_login(settings, to, password):
        raise RunFailed(why, code="run.mail")


def try_login(settings: Settings, to: str = "", password: str = "") -> str:
    """Return why the mail server can't be used, with the remedy; empty if it can.

    Arguments as of `prove`. Raises CommandFailed if the host can't try it.
    """
    smtp = settings.instance.smtp
    assert smtp is not None
    asked = {
        "host": smtp.host,
        "port": smtp.port,
        "tls": smtp.tls,
        "user": smtp.user,
        "from": smtp.from_address,
        "name": smtp.from_name,
        "to": to,
        "password": password or next(map(given.value_of, password_of(settings)), ""),
        "ca": authorities.read_authorities(settings),
    }
    said = run(script("mail", "prove"), doing="log in to the mail server", stdin=json.dumps(asked))
    found = json.loads(said)
    return "" if found["ok"] else describe(smtp, found["step"], found["reason"].rstrip("."), to)


def row(settings: Settings) -> list[Row]:
    """Return the row of `status` on the mail server; none if there is none."""
    if settings.instance.smtp is None:
        return []
    smtp = settings.instance.smtp
    try:
        trouble = try_login(settings)
    except UserError as error:
        trouble = str(error)
    text = f"{smtp.host}:{smtp.port} accepts the login, as {smtp.from_address}"
    return [Row("Mail", trouble or text, ok=not trouble)]


def password_of(settings: Settings) -> list[GivenSecret]:
    """Return the password of the mail server, as a list of one; empty without a login."""
    return [each for each in settings.instance.secrets if each.variable == MAIL_PASSWORD]


def describe(smtp: Smtp, step: str, reason: str, to: str = "") -> str:
    """Return a sentence on a login that failed at a step of mail.sh, with the remedy."""
    place = f"{smtp.host}:{smtp.port}"
    match step:
        case "password":
            return f"the host has no password of {place} yet: `infisical-iac apply` takes it"
        case "public":
            return (
                f"setting 'smtp': {smtp.host} has a public address ({reason}), where tls 'none' "
                "would send mails and the password in clear text: write 'starttls' or 'tls'"
            )
        case "resolve":
            return f"setting 'smtp': the host finds no address of {smtp.host}: correct the name"
        case "tls":
            other = "'starttls' with port 587" if smtp.tls == "tls" else "'tls' with port 465"
            return f"setting 'smtp': {place} does not speak TLS there ({reason}): try {other}"
        case "starttls":
            return (
                f"setting 'smtp': {place} offers no STARTTLS, so the password would be sent in "
                "clear text: try 'tls' with port 465, or another server"
            )
        case "certificate":
            return (
                f"setting 'smtp': the certificate of {place} is not accepted ({reason}): write the "
                "name that is in it, or give its authority as extra_ca"
            )
        case "auth":
            return (
                f"setting 'smtp': {place} refuses the login of {smtp.user!r} ({reason}): check the "
                "user and SMTP_PASSWORD; a kept one is replaced by `infisical-iac keys rotate smtp`"
            )
        case "sender":
            return (
                f"setting 'smtp': {place} refuses {smtp.from_address} as the sender ({reason}): "
                "write a from_address that this login may send from"
            )
        case "recipient":
            return (
                f"{place} refuses the recipient {to} ({reason}): check the address, or allow this "
                "login to send to other domains (relay)"
            )
        case "send":
            return f"{place} refuses the mail ({reason}): ask the operator of that server"
    return (
        f"setting 'smtp': the host can't talk to {place} ({reason}): check host and port, and "
        "whether the provider of the host blocks outgoing mail"
    )
