"""Compare the secrets that a service's identity is shown before and after a change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from infisical_iac.agent import contents, login
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient, gather
from infisical_iac.agent.isolation import GENERATIONS, Generation, IsolationPlace
from infisical_iac.agent.reading import ReadingPlace, Secrets, list_names
from infisical_iac.agent.runner import explain, join_names, make_failure

# The folder of the services' credentials.
CREDENTIALS = "/etc/infisical/credentials"
# The number of files tried: refused logins may count towards a ban.
_MOST_FILES = 3
_FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.env")
NONE = "No service's credentials worked before the change: no service's access was compared."


@dataclass(frozen=True)
class Reach:
    """The secrets that a service's identity was shown.

    Attributes:
        name: the name of its credentials, which are read again for the comparison.
        shown: the ids of secrets, for each generation of the secrets API that the server had.
    """

    name: str
    shown: Mapping[str, frozenset[str]]


def _log_in(place: ReadingPlace, name: str) -> ApiClient | None:
    """Return a client with the token of a service, by the name of its credentials.

    None without a file of credentials. Raises AnswerError or NoAnswer.
    """
    text = place.runner.text(f"{CREDENTIALS}/{name}.env") or ""
    found = login.parse_variables(text)
    id, secret = found.get("INFISICAL_CLIENT_ID"), found.get("INFISICAL_CLIENT_SECRET")
    return login.universal(place.anyone, id, secret) if id and secret else None


def read_reach(place: ReadingPlace) -> Reach | None:
    """Return the reach of the first service with working credentials on the host, or None."""
    folder = place.runner.path(CREDENTIALS)
    files = sorted(each.name for each in folder.glob("*.env") if _FILE_NAME.fullmatch(each.name))
    try:
        for name in (each.removesuffix(".env") for each in files[:_MOST_FILES]):
            try:
                reader = _log_in(place, name)
            except AnswerError as error:
                if error.status != 401:
                    raise
                continue
            if reader:
                # Without a project or an API of secrets, there is nothing to compare with.
                shown = _list_shown(place, reader)
                return Reach(name, shown) if shown else None
    except RuntimeError:
        return None
    return None


def compare_reach(place: ReadingPlace, then: Reach, there: Secrets) -> str:
    """Return a sentence on a service that is shown the same secrets as before.

    Args:
        then: the result of `read_reach`.
        there: the secrets from before the change, for their names.

    Raises RuntimeError with a Failure if it is shown more or fewer.
    """
    try:
        reader = _log_in(place, then.name)
        now = _list_shown(place, reader) if reader else {}
    except AnswerError as error:
        raise make_failure(
            "checks.reach", f"the credentials {then.name} no longer work: {explain(error)}"
        ) from None
    if reader is None:
        raise make_failure(
            "checks.reach",
            f"the credentials {then.name}, which worked before the change, are no longer in "
            f"{CREDENTIALS}: run again",
        )
    # Secrets that were written or deleted since are left out.
    common = there.keys() & set(_existing(place))
    for generation in [each for each in then.shown if each in now]:
        _refuse_difference(then, generation, then.shown[generation] & common, now, common, there)
    gone = sorted(then.shown.keys() - now.keys())
    if not now or (gone and not now.keys() & then.shown.keys()):
        raise make_failure(
            "checks.reach", f"no version of the secrets API answers the identity of {then.name}"
        )
    sentence = f"The identity of {then.name} reads the same secrets as before, and nothing else"
    lost = f"; the server no longer has {join_names(gone)} of the secrets API" if gone else ""
    return f"{sentence}{lost}."


def _refuse_difference(
    then: Reach,
    generation: str,
    had: frozenset[str],
    now: Mapping[str, frozenset[str]],
    common: set[str],
    there: Secrets,
) -> None:
    has = now[generation] & common
    for ids, how, code in (
        (has - had, "reads secrets that it was refused before, through", "checks.isolation"),
        (had - has, "no longer reads secrets that it may read, through", "checks.reach"),
    ):
        if ids:
            raise make_failure(
                code,
                f"the identity of {then.name} {how} {generation} of the secrets API: "
                f"{list_names(there[id] for id in ids)}",
            )


def _existing(place: ReadingPlace) -> list[str]:
    patient = place.deployer.with_patience()
    listed = [contents.secrets_of(patient, project, values=False) for project in place.projects()]
    return [each["id"] for found in listed for secrets in found.values() for each in secrets]


def _list_shown(place: ReadingPlace, reader: ApiClient) -> dict[str, frozenset[str]]:
    """Return the ids that an identity is shown, by the generation of the API."""
    roots = [
        IsolationPlace(project["id"], each["slug"], "/")
        for project in place.projects()
        for each in project["environments"]
    ]
    patient = reader.with_patience()

    def list_shown(generation: Generation) -> frozenset[str]:
        listed = gather(
            partial(generation.list_secrets, patient, root, recursive=True, values=False)
            for root in roots
        )
        return frozenset(each["id"] for secrets in listed for each in secrets)

    return {
        generation.name: list_shown(generation)
        for generation in GENERATIONS
        if any(generation.serves(reader, root) for root in roots)
    }
