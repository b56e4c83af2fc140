"""Read the features of Infisical's license, and say why it or its audit log has no effect."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pyinfra.context import state

from infisical_iac.agent import identities
from infisical_iac.agent.docker import read_license_trouble
from infisical_iac.api import instance
from infisical_iac.api.client import Client
from infisical_iac.core import journal
from infisical_iac.core.agent import ask, question
from infisical_iac.core.change import Change, Row, Unknown, UpToDate
from infisical_iac.core.errors import CheckFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names
from infisical_iac.instance.settings import LICENSE_SERVER
from infisical_iac.stack import session

Features = Mapping[str, Any]
_AGAIN = "`infisical-iac keys rotate license`"
# The seconds to wait for an event to be listed: the server stores events every five seconds.
_PATIENCE = 15.0
_RECENT = timedelta(minutes=10)
# Shorter than the three months that the server answers for at once.
_BEFORE = timedelta(days=85)
_UNSEEN = "the license can be inspected once Infisical runs with it"
# Features by the server's name: those that replace a part of this project, or are requested most.
_FEATURES = {
    "auditLogs": "the audit log",
    "groups": "groups",
    "secretApproval": "approvals",
    "rbac": "custom roles",
    "samlSSO": "SAML",
    "oidcSSO": "OIDC",
    "ldap": "LDAP",
    "scim": "SCIM",
    "ipAllowlisting": "trusted IPs",
    "pitRecovery": "point-in-time recovery",
    "dynamicSecret": "dynamic secrets",
    "secretRotation": "secret rotation",
    "enforceMfa": "enforced second factors",
}


@planned_operation
def license_features(settings: Settings) -> Commands:
    """Report the features of the license, or why it has no effect.

    Nothing is changed: an Infisical whose license is refused serves as the free edition.
    """
    port = settings.stack.http_port
    if not session.works(port):
        yield Unknown(session.unknown_contents() or _UNSEEN)
        return
    features = read(port)
    if is_active(features):
        _note(f"{describe(features)}; access stays as the project file says")
        why = ""
    else:
        why = read_reason()
    yield from decide(settings, features, why, pending=journal.part_will_change("Stack"))


def decide(settings: Settings, features: Features, why: str, *, pending: bool) -> Commands:
    """Decide what to report about a license.

    Args:
        why: as `read_license_trouble` returns it.
        pending: whether the run is going to re-create the containers.
    """
    if is_active(features):
        yield UpToDate("the license is in effect")
    elif pending:
        yield Unknown(_UNSEEN)
    else:
        yield Change("!", "license", explain(settings, why))


def _note(sentence: str) -> None:
    run = journal.current()
    if sentence in run.notes:
        return
    (run.operator_notes if state.is_executing else run.notes).append(sentence)


def read(port: int) -> Features:
    """Return the features that the server reports. Raises as `session.deployer` does."""
    client = session.deployer(port)
    return instance.license_plan(client, identities.organization_id(client))


def read_reason() -> str:
    """Return what Infisical's log says about its license. Raises CommandFailed."""
    return ask(question(read_license_trouble))


def is_active(features: Features) -> bool:
    """Return whether there is a license in effect; the free edition has no tier."""
    return bool(features.get("slug")) or any(features.get(each) for each in _FEATURES)


def describe(features: Features) -> str:
    """Return a clause with the features that the license has, and those that it lacks."""
    tier = f" ({features['slug']})" if features.get("slug") else ""
    has = [words for name, words in _FEATURES.items() if features.get(name)]
    lacks = [words for name, words in _FEATURES.items() if not features.get(name)]
    text = f"the license{tier} has {join_names(has) or 'none of the features that this line lists'}"
    return f"{text}, but not {join_names(lacks, 'or')}" if has and lacks else text


def explain(settings: Settings, why: str) -> str:
    """Return a sentence on a license without effect, with the remedy.

    Args:
        why: as `read_license_trouble` returns it.
    """
    kind, _, detail = why.partition(" ")
    begin = "not in effect, so Infisical serves as the free edition"
    server = settings.instance.variables.get("LICENSE_SERVER_URL", LICENSE_SERVER)
    match kind:
        case "status":
            return (
                f"{begin}: {server} refuses the key (status {detail}): check the key, and give it "
                f"again by {_AGAIN}"
            )
        case "code" if settings.instance.license_key == "online":
            return (
                f"{begin}: it can't reach {server} ({detail}): let the host reach it, or use an "
                "offline license; Infisical tries again every ten minutes"
            )
        case "invalid":
            return f"{begin}: the signature of the key is wrong: give it again by {_AGAIN}"
        case "expired":
            return (
                f"{begin}: the license has expired: get another from the vendor, and give it "
                f"by {_AGAIN}"
            )
    if settings.instance.license_key == "offline":
        return (
            f"{begin}: Infisical can't read the key as an offline license: give it again by "
            f"{_AGAIN}, or set license_key to 'online' if it is a short one"
        )
    return (
        f"{begin}: check whether the host reaches {server}, then the key, and give it again by "
        f"{_AGAIN}"
    )


def check_new_key(settings: Settings, *, was_active: bool) -> list[str]:
    """Return a sentence on the license after its key was replaced.

    Raises CheckFailed if the former license was in effect and the new one is not.
    """
    features = read(settings.stack.http_port)
    if is_active(features):
        return [f"In effect: {describe(features)}."]
    sentence = f"the license is {explain(settings, read_reason())}"
    if was_active:
        raise CheckFailed(sentence, code="checks.license")
    return [f"{sentence[0].upper()}{sentence[1:]}."]


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the row of `status` on the license; none if no license is set."""
    if not settings.instance.license_key:
        return
    try:
        features = read(settings.stack.http_port)
        if is_active(features):
            yield Row("License", describe(features).removeprefix("the "))
        else:
            yield Row("License", explain(settings, read_reason()), ok=False)
    except UserError as error:
        yield Row("License", f"can't be determined: {error}", ok=False)


def explain_missing_events(port: int, begin: datetime, *, patience: float = _PATIENCE) -> str:
    """Return why Infisical's own audit log may lack events since `begin`; empty if it has all.

    It has all if three conditions hold: the license includes it, it records events now, and it has
    an event from before `begin`. The server does not say since when it records.

    Args:
        patience: the seconds to wait for an event to be listed.
    """
    own = "Infisical's own audit log"
    try:
        features = read(port)
        if not is_active(features):
            return "the license is not in effect"
        if not features.get("auditLogs"):
            return "the license has no audit log"
        client = session.deployer(port)
        if not _records(client, patience):
            return f"{own} records nothing, although the license has it"
        if not any(instance.audit_events(client, begin - _BEFORE, begin, page=1)):
            return f"{own} has no entries from before {begin:%Y-%m-%d %H:%M}, so it may begin later"
    except UserError as error:
        return f"{own} can't be read: {error}"
    return ""


def _records(client: Client, patience: float) -> bool:
    """Return whether the log records events: the request for them is an event itself."""
    since, ends = datetime.now(UTC) - _RECENT, time.monotonic() + patience
    while not any(instance.audit_events(client, since, page=1)):
        if time.monotonic() >= ends:
            return False
        time.sleep(0.5)
    return True
