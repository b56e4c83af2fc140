"""Prove the login at the mail server from the host, and send test mails."""

from infisical_iac.agent.servers import log_in_to_mail
from infisical_iac.core.agent import ask, look, question
from infisical_iac.core.change import Row, UpToDate
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import deployed_question
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.instance import authorities, given, proof
from infisical_iac.instance.settings import MAIL_PASSWORD, VARIABLES, GivenSecret, Smtp


@planned_operation
def login(settings: Settings) -> Commands:
    """Prove the login at the mail server, unless the running Infisical already uses it.

    Nothing is sent. Raises RunFailed with the server's reason and the remedy; the containers stay
    as they are then.
    """
    if settings.instance.smtp is None:
        yield UpToDate("no mail server is set")
        return
    yield from decide(settings, settings.instance.smtp, look(deployed_question()))


def decide(settings: Settings, smtp: Smtp, deployed: DeployedInfisical) -> Commands:
    """Decide whether to prove the login, by the Infisical that is deployed."""
    desired = dict.fromkeys(VARIABLES) | smtp.variables
    by_tls = smtp.tls != "none"
    if proof.is_deployed(settings, deployed, desired, password_of(settings), by_tls=by_tls):
        yield UpToDate(f"Infisical sends mail by {smtp.host} already")
        return
    yield step(prove, settings)


def prove(settings: Settings, to: str = "", password: str = "") -> None:
    """Log in to the mail server from the current host; with `to`, send a mail there.

    Args:
        to: the recipient of a test mail. If empty, none is sent; the test only checks that the
            server accepts the administrator as a recipient.
        password: a password to use instead of the host's or the one given to this run.

    Raises RunFailed with the server's reason and the remedy.
    """
    if why := try_login(settings, to, password):
        raise RunFailed(why, code="run.mail")


def try_login(settings: Settings, to: str = "", password: str = "") -> str:
    """Return why the mail server can't be used, with the remedy; empty if it can.

    Arguments as for `prove`. Raises CommandFailed if the host can't run the test.
    """
    smtp = settings.instance.smtp
    assert smtp is not None
    admin = settings.workspace.admin_email
    asked = question(
        log_in_to_mail,
        host=smtp.host,
        port=smtp.port,
        tls=smtp.tls,
        user=smtp.user,
        password=next((given.locate(each, password) for each in password_of(settings)), None),
        sender=smtp.from_address,
        name=smtp.from_name,
        to=to or admin,
        send=bool(to),
        authorities=authorities.read_authorities(settings),
    )
    found = ask(asked)
    recipient = to or f"{admin} of admin_email"
    return describe(smtp, found.step, found.reason, recipient) if found.step else ""


def row(settings: Settings) -> list[Row]:
    """Return the row of `status` on the mail server; none if there is none."""
    smtp = settings.instance.smtp
    if smtp is None:
        return []
    text = f"{smtp.host}:{smtp.port} accepts the login, as {smtp.from_address}"
    return [proof.row("Mail", lambda: try_login(settings), text)]


def password_of(settings: Settings) -> list[GivenSecret]:
    """Return the password of the mail server, as a list of one; empty without a login."""
    return [each for each in settings.instance.secrets if each.variable == MAIL_PASSWORD]


def describe(smtp: Smtp, step: str, reason: str, to: str = "") -> str:
    """Return a sentence on a step of `log_in_to_mail` that failed, with the remedy."""
    place = f"{smtp.host}:{smtp.port}"
    match step:
        case "password":
            return (
                f"the host has no password of the mail server {place} yet: give it to "
                "`infisical-iac apply`"
            )
        case "public":
            return (
                f"setting 'smtp': {smtp.host} has a public address ({reason}), where tls 'none' "
                "would send mails and the password in clear text: write 'starttls' or 'tls'"
            )
        case "resolve":
            return f"setting 'smtp': the host can't resolve {smtp.host}: correct the name"
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
                "name that is in the certificate, or give its authority as extra_ca"
            )
        case "auth":
            return (
                f"setting 'smtp': {place} refuses the login of {smtp.user!r} ({reason}): check the "
                "user and SMTP_PASSWORD; `infisical-iac keys rotate smtp` replaces a stored one"
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
        f"setting 'smtp': the host can't reach {place} ({reason}): check host and port, and "
        "whether the provider of the host blocks outgoing mail"
    )
