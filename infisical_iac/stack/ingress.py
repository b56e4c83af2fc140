"""Install Caddy's files after Caddy has validated them, and assess the certificate it serves."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import PurePath
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from infisical_iac.agent import ingress
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.ingress import STOPPED
from infisical_iac.core import files
from infisical_iac.core.agent import Question, ask, inspect, perform, question, together
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import CheckFailed, SettingsError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import watch
from infisical_iac.instance.authorities import read_pem, refuse_dates
from infisical_iac.stack import compose, ingress_kinds, paths
from infisical_iac.stack.ingress_kinds import INTERNAL
from infisical_iac.stack.settings import StackSettings


class Pair(NamedTuple):
    """A certificate with its chain, and its key, both in PEM."""

    certificate: str
    key: str


def read_own_pair(settings: Settings, now: datetime | None = None) -> Pair | None:
    """Read the pair that the settings name, None if they name none.

    Raises SettingsError if a file can't be read, if the two don't belong together, or if the
    certificate is for another name or not valid `now`.
    """
    stack = settings.stack
    if not stack.tls_certificate:
        return None
    pair = Pair(
        read_pem("tls_certificate", stack.tls_certificate), read_pem("tls_key", stack.tls_key)
    )
    leaf = _leaf(pair.certificate, stack.tls_certificate)
    if _public(pair.key, stack.tls_key) != _certificate_key(leaf, stack.tls_certificate):
        raise SettingsError(
            f"setting 'tls_key': {stack.tls_key} is not the key of {stack.tls_certificate}: give "
            "the two files that belong together",
            code="settings.other_key",
        )
    name = urlsplit(stack.site_url).hostname or ""
    if not _is_for(leaf, name):
        raise SettingsError(
            f"setting 'tls_certificate': {stack.tls_certificate} is not for {name}: get one "
            "that names it, or correct site_url",
            code="settings.certificate_name",
        )
    refuse_dates(leaf, "tls_certificate", stack.tls_certificate, now or datetime.now(UTC))
    return pair


def find_misfit(served: str, name: str, pair: Pair | None, now: datetime) -> str:
    """Return why the `served` certificate does not fit `name`; empty if it does.

    Args:
        served: the served certificate in PEM; empty if there is none.
        pair: the user's own certificate, if Caddy has to serve it.
    """
    if not served:
        return "none is served"
    leaf = _leaf(served, "what is served")
    if pair and leaf != _leaf(pair.certificate, ""):
        return "another one is served"
    if not _is_for(leaf, name):
        return "one for another name is served"
    if now >= leaf.not_valid_after_utc:
        return f"ended on {leaf.not_valid_after_utc:%Y-%m-%d}"
    return ""


def parse_end(text: str) -> str:
    """Return the expiry date of a valid PEM certificate."""
    return f"{_leaf(text, 'it').not_valid_after_utc:%Y-%m-%d}"


def _leaf(text: str, path: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(text.encode())[0]
    except (ValueError, IndexError):
        raise SettingsError(
            f"setting 'tls_certificate': {path} holds no certificate in PEM: give a file that does",
            code="settings.no_certificate",
        ) from None


def _public(key: str, path: str) -> object:
    try:
        return serialization.load_pem_private_key(key.encode(), None).public_key()
    except TypeError:
        raise SettingsError(
            f"setting 'tls_key': {path} has a passphrase: remove it, as Caddy starts unattended",
            code="settings.passphrase",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"setting 'tls_key': {path} holds no private key in PEM of a supported kind: give an "
            "RSA or ECDSA key",
            code="settings.no_private_key",
        ) from None


def _certificate_key(leaf: x509.Certificate, path: str) -> object:
    try:
        return leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"setting 'tls_certificate': {path} is for a key of an unsupported kind: get one for "
            "an RSA or ECDSA key",
            code="settings.unsupported_key",
        ) from None


def _is_for(leaf: x509.Certificate, name: str) -> bool:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    certified = {each.lower() for each in names.get_values_for_type(x509.DNSName)}
    certified |= {str(each) for each in names.get_values_for_type(x509.IPAddress)}
    return name in certified or f"*.{name.partition('.')[2]}" in certified


# Fewer than the days that are left when Caddy renews a certificate: a third of its lifetime, 30 of
# 90 days. So a warning means that renewals failed.
_LEAST_DAYS = 14


def assess_certificate(
    ends: int | None, settings: StackSettings, now: datetime
) -> tuple[str, bool]:
    """Return a description of the served certificate, and whether it is healthy.

    Args:
        ends: its expiry, in seconds since the epoch; None if none is served.
    """
    if not settings.site_url.startswith("https:"):
        return f"none: {settings.site_url} is reached without TLS", True
    if ends is None:
        if not settings.runs_caddy:
            return f"none on the host: {settings.site_url} is served from elsewhere", True
        return f"none is served for {settings.site_url}", False
    end = datetime.fromtimestamp(ends, UTC)
    if settings.ingress_kind.is_public and settings.acme_ca == INTERNAL and not settings.tls_key:
        # Such a certificate is valid for twelve hours, and Caddy renews it after eight.
        return f"until {end:%Y-%m-%d %H:%M} UTC, renewed by Caddy's own authority", end > now
    days = (end - now).days
    return f"until {end:%Y-%m-%d}, {days} days from now", days >= _LEAST_DAYS


@dataclass(frozen=True)
class IngressState:
    """The files by path, the running Caddy's revision, and the served certificate.

    The revision is `none` if Caddy reports none. The certificate is in PEM; empty if none is
    served.
    """

    files: dict[str, PathState] = field(default_factory=dict)
    revision: str = STOPPED
    certificate: str = ""


def ingress_question(*, paths: Sequence[str], site: str, port: int) -> Question[IngressState]:
    """Return the question for the IngressState: files, and the certificate of `site` at `port`."""
    return together(
        lambda found, served: IngressState(found, served.revision, served.certificate),
        question(states, paths=[*paths]),
        question(ingress.inspect, site=site, port=port),
    )


DIRECTORY = "/etc/infisical/ingress"
CADDYFILE, CERTIFICATE, KEY = (
    f"{DIRECTORY}/{name}" for name in ("Caddyfile", "tls.crt", "tls.key")
)
LOGS = watch.LIVE
_DIRECTORIES = {DIRECTORY: "700", LOGS: "750"}
# The authority first validates the domain, which takes a while.
_CERTIFICATE_SECONDS = 120


@planned_operation
def configuration(settings: Settings) -> Commands:
    """Install Caddy's files, and reload a running Caddy.

    Caddy's image checks the new files first. If it refuses them, or the running Caddy can't load
    them, the old files stay in effect.
    """
    if settings.stack.runs_caddy:
        yield from decide(settings, inspect(question_for(settings)), read_own_pair(settings))
    else:
        # Caddy's existing files stay, because a rollback to an earlier release may need them.
        yield UpToDate(f"ingress is {settings.stack.ingress}, so the stack has no Caddy")


def decide(settings: Settings, there: IngressState, pair: Pair | None) -> Commands:
    """Decide how to change Caddy's files, by the actual state `there`.

    Args:
        pair: the user's own certificate, None without one.
    """
    config = caddyfile(settings, pair.certificate if pair else "")
    desired = _files(config.text, pair)
    wrong = files.find_differing(desired, there.files)
    surplus = sorted({CERTIFICATE, KEY} & there.files.keys() - {each.path for each in desired})
    has_other = there.revision not in (STOPPED, config.revision)
    yield from _directories(there.files)
    if not wrong and not surplus and not has_other:
        yield UpToDate("Caddy's files are as they should be, and in effect")
        return
    yield from _differences(wrong, there.files, surplus)
    if not wrong and not surplus:
        yield Change("~", "Caddy", "runs with another Caddyfile")
    yield step(_take, desired, settings)


def _directories(there: Mapping[str, PathState]) -> Commands:
    for path, mode in _DIRECTORIES.items():
        found = there.get(path)
        if found != PathState("directory", mode, "root:root"):
            detail = f"{found.mode} {found.owner} → {mode} root:root" if found else ""
            yield Change("~" if found else "+", path, detail)
            command = f"install --directory --owner=root --group=root --mode={mode} {path}"
            yield step(run, command, doing=f"make {path}")


def _files(text: str, pair: Pair | None) -> list[File]:
    texts = {CADDYFILE: text, **({CERTIFICATE: pair.certificate, KEY: pair.key} if pair else {})}
    return [File(path, content, mode="600") for path, content in texts.items()]


def question_for(settings: Settings) -> Question[IngressState]:
    """Return the question for the IngressState of the settings."""
    url = urlsplit(settings.stack.site_url)
    return ingress_question(
        paths=[CADDYFILE, CERTIFICATE, KEY, *_DIRECTORIES],
        site=url.hostname or "",
        port=url.port or 443,
    )


def _differences(
    wrong: Sequence[File], there: Mapping[str, PathState], surplus: Sequence[str]
) -> Iterator[Change]:
    for file in wrong:
        if file.path == CADDYFILE:
            yield files.difference(file, there.get(file.path))
        else:
            # A key must stay secret, and only a certificate's expiry date is readable for people.
            detail = f"until {parse_end(file.content)}" if file.path == CERTIFICATE else ""
            yield Change("~" if file.path in there else "+", file.path, detail)
    for path in surplus:
        yield Change("-", path, "no setting names it")


def _take(desired: Sequence[File], settings: Settings) -> None:
    image = shlex.quote(settings.stack.caddy_image)
    command = f"docker image inspect --format present {image} 2>/dev/null || true"
    if not run(command, doing="look for Caddy's image"):
        compose.fetch([settings.stack.caddy_image], compose.sources_of(settings.stack))
    run(f"rm -rf {DIRECTORY}.new", doing=f"empty {DIRECTORY}.new")
    for file in desired:
        write(f"{DIRECTORY}.new/{PurePath(file.path).name}", file.content, mode=file.mode)
    taken = question(ingress.take, image=settings.stack.caddy_image)
    perform(taken, doing=f"use the new {CADDYFILE}")


def bring(settings: Settings) -> None:
    """Install and load Caddy's files, for a command other than a deploy. Raises a UserError."""
    pair = read_own_pair(settings)
    text = caddyfile(settings, pair.certificate if pair else "").text
    _take(_files(text, pair), settings)


@planned_operation
def served_certificate(settings: Settings) -> Commands:
    """Wait until Caddy serves a certificate for site_url.

    Raises CheckFailed with Caddy's reason if it serves none within two minutes.
    """
    if not settings.stack.ingress_kind.is_public:
        yield UpToDate(f"ingress is {settings.stack.ingress}, so the stack serves no certificate")
        return
    pair, now = read_own_pair(settings), datetime.now(UTC)
    yield from decide_certificate(settings, inspect(question_for(settings)), pair, now)


def decide_certificate(
    settings: Settings, there: IngressState, own: Pair | None, now: datetime
) -> Commands:
    """Decide whether to wait for a certificate, by the served one and the time `now`."""
    name = urlsplit(settings.stack.site_url).hostname or ""
    reason = find_misfit(there.certificate, name, own, now)
    if not reason:
        yield UpToDate(f"a certificate of {name} is served")
        return
    yield Change("~" if there.certificate else "+", f"certificate of {name}", reason)
    yield step(_await, name, urlsplit(settings.stack.site_url).port or 443)


def _await(name: str, port: int) -> None:
    asked = question(ingress.await_certificate, name=name, port=port, seconds=_CERTIFICATE_SECONDS)
    if said := ask(asked):
        raise CheckFailed(
            f"all is deployed, but there is no certificate of {name} after "
            f"{_CERTIFICATE_SECONDS} s: see that the name leads to this host and that the ports 80 "
            f"and 443 are open, then run again ({said})"
        )


class Caddyfile(NamedTuple):
    """The text of a Caddyfile and its revision, a hash of the text and of its certificate."""

    text: str
    revision: str


def caddyfile(settings: Settings, certificate: str = "") -> Caddyfile:
    """Return the Caddyfile; `certificate` is the user's own in PEM, empty for none."""
    url = urlsplit(settings.stack.site_url)
    kind = settings.stack.ingress_kind
    loopback = f"127.0.0.1:{settings.stack.http_port}"
    render = partial(
        template,
        "Caddyfile",
        settings=settings,
        kind=kind,
        port=ingress_kinds.PORT,
        secret_header=ingress_kinds.SECRET_HEADER,
        upstream=ingress_kinds.UPSTREAM if kind.behind_proxy else loopback,
        host=url.hostname,
        site=url.netloc.lower(),
        origin=re.escape(f"{url.scheme}://{url.netloc.lower().removesuffix(':443')}"),
        directory=ingress_kinds.DIRECTORIES.get(settings.stack.acme_ca, settings.stack.acme_ca),
        metrics="caddy" in settings.metrics_ports,
        is_internal=settings.stack.acme_ca == ingress_kinds.INTERNAL,
        revision_port=ingress_kinds.REVISION_PORT,
        paths=paths,
        maintenance=paths,
        banning=watch,
    )
    revision = sha256(f"{render(revision='')}{certificate}".encode()).hexdigest()[:32]
    return Caddyfile(render(revision=revision), revision)
