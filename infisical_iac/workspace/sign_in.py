"""Compare the sign-in page with the settings: the providers that it offers, and the methods."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from pyinfra.api.command import FunctionCommand

from infisical_iac.api import instance
from infisical_iac.api.client import Client
from infisical_iac.api.instance import LoginPage
from infisical_iac.core import journal
from infisical_iac.core.agent import inspect
from infisical_iac.core.change import Change, Row, Unknown, UpToDate
from infisical_iac.core.errors import CheckFailed, NotBootstrapped, Refused, UserError
from infisical_iac.core.operation import (
    Commands,
    decide_changes,
    planned_operation,
    step,
)
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names
from infisical_iac.host.machine import deployed_question
from infisical_iac.instance.login import (
    LICENSED,
    PROVIDERS,
    TITLES,
    Logins,
    Provider,
    client_id_of,
)
from infisical_iac.stack import session
from infisical_iac.workspace import licensing

_UNSEEN = "the sign-in page can be inspected once Infisical runs with its logins"
_CONSOLE = "in Infisical's server admin console, under environment overrides"
Pages = Mapping[Provider, LoginPage | None]


@planned_operation
def providers(settings: Settings) -> Commands:
    """Check that the sign-in page leads to each provider of the setting `login`.

    Nothing is changed; a login that is not offered fails the run at its end.
    """
    port = settings.stack.http_port
    if not session.answers(port):
        yield Unknown(session.unknown_contents() or _UNSEEN)
        return
    login = settings.instance.login
    pages = _read_pages(session.api(port), login.clients)
    yield from decide_providers(login, pages, pending=journal.part_will_change("Stack"))


def decide_providers(login: Logins, pages: Pages, *, pending: bool) -> Commands:
    """Decide what to report on the providers, by the pages that the sign-in page leads to.

    Args:
        pending: whether the run is going to re-create the containers.
    """
    wrong = compare_pages(login, pages)
    if not wrong:
        offered = join_names(login.place_of(each) for each in login.clients)
        yield UpToDate(f"the sign-in page offers {offered}")
    elif pending:
        yield Unknown(_UNSEEN)
    for each, why in {} if pending else wrong.items():
        yield Change("!", f"login by {TITLES[each]}", why)


def _read_pages(client: Client, of: Iterable[Provider]) -> Pages:
    return {each: instance.login_page(client, each) for each in of}


def compare_pages(login: Logins, pages: Pages) -> dict[Provider, str]:
    """Return a sentence for each provider whose link on the sign-in page is missing or wrong."""
    found = {}
    for each, client in login.clients.items():
        page, place, address = pages[each], login.place_of(each), login.provider(each).page
        if page is None:
            found[each] = (
                f"Infisical does not offer {place}, although login has its client id: give the "
                f"client secret again by `infisical-iac keys rotate {each}`"
            )
        elif not page.address.startswith(f"{address}/"):
            found[each] = (
                f"Infisical sends logins to {urlsplit(page.address).netloc} instead of {address}: "
                f"remove the override {_CONSOLE}"
            )
        elif page.client_id != client.client_id:
            found[each] = (
                f"Infisical logs in at {place} with the client id {page.client_id}, not with that "
                f"of setting 'login': remove the override {_CONSOLE}"
            )
    return found


@planned_operation
def methods(settings: Settings) -> Commands:
    """Restrict the methods that people may log in by to `login_methods`.

    Without the setting the methods stay as they are. Only `email` is added if they would let nobody
    in, as after the removal of a provider.

    Raises Refused for methods that the license lacks, and if none of the methods is offered yet.
    Nothing is changed then.
    """
    port, desired = settings.stack.http_port, settings.instance.login_methods
    if not desired:
        yield from _allow_all(settings)
        return
    restrict = step(_restrict, settings, desired)
    if not session.answers(port):
        unseen = session.unknown_contents()
        yield from decide_methods(desired, None, restrict, unseen)
        return
    if {*desired} & {*LICENSED} and session.works(port):
        refuse_unlicensed(desired, licensing.read(port))
    yield from decide_methods(desired, instance.login_methods(session.api(port)), restrict)


def _allow_all(settings: Settings) -> Commands:
    port, found = settings.stack.http_port, []
    if session.answers(port):
        client = session.api(port)
        found = instance.login_methods(client) or []
        if found and not _let_in(settings, found, _offered_after(settings, client, found)):
            opened = (*found, "email")
            yield from decide_methods(opened, found, step(_restrict, settings, opened))
            return
    now = ", ".join(found) or "all that is set up"
    yield UpToDate(f"login_methods leaves the methods of Infisical as they are: {now}")


def _offered_after(
    settings: Settings, client: Client, methods: Sequence[str]
) -> Collection[Provider]:
    """Return the providers among the methods that Infisical offers, or will after this run."""
    login, found = settings.instance.login, inspect(deployed_question()).variables
    pages = _read_pages(client, [each for each in PROVIDERS if each in methods])
    will_restart = journal.part_will_change("Stack")
    return [
        each
        for each, page in pages.items()
        # The settings have a client, or somebody set one up by hand in Infisical.
        if (page or will_restart)
        and (each in login.clients or (page and page.client_id != found.get(client_id_of(each))))
    ]


def _let_in(settings: Settings, methods: Collection[str], offered: Collection[Provider]) -> bool:
    """Return whether one of the methods lets people in, with the providers that are offered.

    With a license, its methods always count, since their setup in Infisical can't be read.
    """
    licensed = LICENSED if settings.instance.license_key else ()
    return bool({*methods} & {"email", *offered, *licensed})


def decide_methods(
    desired: Sequence[str],
    actual: Sequence[str] | None,
    restrict: FunctionCommand,
    unseen: str = "",
) -> Commands:
    """Decide whether to set the methods; `actual` is None if they were never restricted."""
    changes = []
    if actual is None or {*actual} != {*desired}:
        detail = f"{', '.join(actual) if actual else 'all'} → {', '.join(desired)}"
        changes.append(Change("~", "login methods", detail))
    up_to_date = f"people log in by {', '.join(desired)}"
    yield from decide_changes(changes, restrict, up_to_date, unseen)


def refuse_unlicensed(desired: Sequence[str], features: licensing.Features) -> None:
    """Raise Refused for methods that the license lacks."""
    lacking = [each for each in desired if each in LICENSED and not features.get(LICENSED[each])]
    if lacking and licensing.is_active(features):
        raise Refused(
            f"setting 'login_methods': the license has no {TITLES[lacking[0]]}: remove "
            f"{lacking[0]!r} from it, or get another license",
            code="refused.login_method",
            blocks_others=False,
        )


def _restrict(settings: Settings, desired: Sequence[str]) -> None:
    port = settings.stack.http_port
    client = session.api(port)
    named = [each for each in settings.instance.login.clients if each in desired]
    if "email" not in desired and not any(_read_pages(client, named).values()):
        raise Refused(
            f"setting 'login_methods': Infisical offers none of {', '.join(desired)} yet, so "
            "nobody could log in: add 'email', or repair login first",
            code="refused.login_method",
        )
    before = instance.login_methods(client)
    admin = session.administrator(port)
    instance.set_login_methods(admin, desired)
    try:
        session.administrator(port)
    except NotBootstrapped:
        instance.set_login_methods(admin, before or [*TITLES])
        raise CheckFailed(
            f"without 'email' in login_methods, {settings.workspace.admin_email} can't log in by "
            "password, which deploys need: add 'email'; the methods were not changed",
            code="checks.login_method",
        ) from None


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the row of `status` on the sign-in page; none while it is Infisical's default."""
    login = settings.instance.login
    try:
        client = session.api(settings.stack.http_port)
        pages, actual = _read_pages(client, PROVIDERS), instance.login_methods(client)
    except UserError as error:
        if login.clients or settings.instance.login_methods:
            yield Row("Sign-in", f"can't be determined: {error}", ok=False)
        return
    if row := describe_sign_in(settings, pages, actual):
        yield row


def describe_sign_in(settings: Settings, pages: Pages, actual: Sequence[str] | None) -> Row | None:
    """Return the row on the sign-in page; None while it is Infisical's default.

    Args:
        pages: of all providers.
        actual: the methods that people may log in by; None if they were never restricted.
    """
    login, desired = settings.instance.login, settings.instance.login_methods
    if wrong := compare_pages(login, pages):
        return Row("Sign-in", "; ".join(wrong.values()), ok=False)
    if desired and {*desired} != {*(actual or TITLES)}:
        now = ", ".join(actual) if actual else "all methods"
        return Row("Sign-in", f"{now}, but login_methods is {', '.join(desired)}", ok=False)
    foreign = [each for each in PROVIDERS if pages[each] and each not in login.clients]
    if not (login.clients or desired or foreign or actual):
        return None
    if actual and not _let_in(settings, actual, [each for each in PROVIDERS if pages[each]]):
        text = (
            f"only administrators can log in: Infisical allows only {', '.join(actual)}, which it "
            "does not offer: set login_methods to ('email',), or run `infisical-iac apply`"
        )
        return Row("Sign-in", text, ok=False)
    shown: dict[str, str] = {
        **{each: TITLES[each] for each in TITLES if each == "email" or each in (actual or desired)},
        **{each: login.place_of(each) if pages[each] else "" for each in PROVIDERS},
    }
    offered = [shown[each] for each in TITLES if shown.get(each) and each in (actual or TITLES)]
    by_hand = [f"{TITLES[each]} set up {_CONSOLE}" for each in foreign]
    if actual and not desired:
        by_hand.append("methods restricted in Infisical, not by login_methods")
    more = f"; {join_names(by_hand)}" if by_hand else ""
    return Row("Sign-in", f"{join_names(offered)}{more}", is_note=bool(by_hand))
