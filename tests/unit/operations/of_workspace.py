"""Cases of the operations inside Infisical: bootstrap, project, canary and credentials."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from infisical_iac.api.instance import LoginPage
from infisical_iac.core.operation import step
from infisical_iac.instance.login import Logins
from infisical_iac.workspace import bootstrap, canary, deploy, licensing, reconcile, sign_in
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.bootstrap import DesiredInstance, InstanceState
from infisical_iac.workspace.canary import Canary, CanaryLogin
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.credentials import Step, plan
from infisical_iac.workspace.goal import Goal, Memory
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import remember
from infisical_iac.workspace.state import Actual
from tests.unit.deployment import ADMIN, TEXT, Deployment
from tests.unit.operations.cases import Cases, due, noop
from tests.unit.settings_of import settings_of

_WORKSPACE = load(TEXT)
_UNSEEN = "the project in Infisical can be inspected once it runs and the deployer can log in"
_DESIRED = DesiredInstance("ChainAlign", ADMIN, 8080)
_NEW_INSTANCE = (
    f"+ administrator {ADMIN}",
    "+ organization ChainAlign",
    "~ sign-up: open → closed",
    "+ identity infisical-iac-deployer",
)
_CONVERGE, _STORE, _KEEP = ("_converge",), ("_store",), ("_keep",)
# The changes of an empty Infisical.
_GOAL = Goal(desired=_WORKSPACE, isolation="privilege", admin_email=ADMIN)
_ALL = difference(_GOAL, Actual(""))
_CANARY = canary.due(Canary(), ADMIN)
_CREDENTIALS = plan(_WORKSPACE, {}, {})
_FIRST = _CREDENTIALS[0]


@cache
def _converge() -> tuple[Actual, Memory]:
    """Return the state of a converged project, and the memory of that state."""
    deployment = Deployment()
    deployment.converge()
    goal = deployment.goal(_WORKSPACE)
    found = read(deployment.client, goal)
    return found, remember(goal, found)


def _reconcile(found: Actual, known: Memory, *, unseen: str = "") -> Iterable[Any]:
    return reconcile.decide(replace(_GOAL, memory=known), found, 8080, unseen=unseen)


def _rename() -> Actual:
    found, _ = _converge()
    assert found.project
    fields = {**found.project.fields, "name": "Another"}
    return replace(found, project=replace(found.project, fields=fields))


def _canary(due: list[Any], *, is_known: bool = False, unseen: str = "") -> Iterable[Any]:
    return reconcile.decide_canary(due, ADMIN, 8080, is_known=is_known, unseen=unseen)


def _store(*steps: Step, unseen: str = "") -> Iterable[Any]:
    return deploy.decide_credentials(steps, _WORKSPACE, 8080, unseen=unseen)


_LOGIN = CanaryLogin("identity-1", "client-1", "obviously-fake", "secret-1", "project-1")


def _login(drift: str | None, known: CanaryLogin = _LOGIN, *, unseen: str = "") -> Iterable[Any]:
    return reconcile.decide_canary_login(known, drift, 8080, unseen=unseen)


_LICENSED = settings_of(license_key="online")
_LICENSE_UNSEEN = "the license can be inspected once Infisical runs with it"
_LOGINS = Logins.model_validate({"google": {"client_id": "fake-client"}})
_PAGE = LoginPage("https://accounts.google.com/o/oauth2/v2/auth", "fake-client")
_PAGE_UNSEEN = "the sign-in page can be inspected once Infisical runs with its logins"
_NOT_OFFERED = (
    "! login by Google: Infisical does not offer Google, although login has its client id: give "
    "the client secret again by `infisical-iac keys rotate google`"
)
_NOT_LICENSED = (
    "! license: not in effect, so Infisical serves as the free edition: the license has expired: "
    "get another from the vendor, and give it by `infisical-iac keys rotate license`"
)


def _license(slug: str | None, *, pending: bool = False) -> Iterable[Any]:
    return licensing.decide(_LICENSED, {"slug": slug}, "expired", pending=pending)


def _providers(page: LoginPage | None, *, pending: bool = False) -> Iterable[Any]:
    return sign_in.decide_providers(_LOGINS, {"google": page}, pending=pending)


def _methods(actual: list[str] | None, *, unseen: str = "") -> Iterable[Any]:
    restrict = step(sign_in._restrict, _LICENSED, ("email", "google"))
    return sign_in.decide_methods(("email", "google"), actual, restrict, unseen)


OPERATIONS = {
    "workspace.licensing.license_features": Cases(
        noop(lambda: _license("enterprise"), "the license is in effect"),
        due(lambda: _license(None), _NOT_LICENSED, steps=()),
        "an Infisical without a license is the same as one whose license is refused",
        due(lambda: _license(None, pending=True), unknown=_LICENSE_UNSEEN, steps=()),
    ),
    "workspace.sign_in.providers": Cases(
        noop(lambda: _providers(_PAGE), "the sign-in page offers Google"),
        due(lambda: _providers(None), _NOT_OFFERED, steps=()),
        "a provider that the page does not offer is the only difference of an absent one",
        due(lambda: _providers(None, pending=True), unknown=_PAGE_UNSEEN, steps=()),
    ),
    "workspace.sign_in.methods": Cases(
        noop(lambda: _methods(["google", "email"]), "people log in by email, google"),
        due(
            lambda: _methods(["email"]),
            "~ login methods: email → email, google",
            steps=("_restrict",),
        ),
        due(lambda: _methods(None), "~ login methods: all → email, google", steps=("_restrict",)),
        due(lambda: _methods(None, unseen=_UNSEEN), unknown=_UNSEEN, steps=("_restrict",)),
    ),
    "workspace.bootstrap.accounts": Cases(
        noop(
            lambda: bootstrap.decide(_DESIRED, InstanceState(True, organization="ChainAlign")),
            "the instance is bootstrapped, sign-up is closed, the deployer logs in",
        ),
        due(
            lambda: bootstrap.decide(
                _DESIRED, InstanceState(True, True, "Other", differs="can't log in → can")
            ),
            "~ organization ChainAlign: name Other → ChainAlign",
            "~ sign-up: open → closed",
            "~ identity infisical-iac-deployer: can't log in → can",
            steps=("_bootstrap",),
        ),
        due(
            lambda: bootstrap.decide(_DESIRED, InstanceState(is_open=True)),
            *_NEW_INSTANCE,
            steps=("_bootstrap",),
        ),
        due(
            lambda: bootstrap.decide(_DESIRED, InstanceState(unseen=_UNSEEN)),
            unknown=_UNSEEN,
            steps=("_bootstrap",),
        ),
    ),
    "workspace.reconcile.project_contents": Cases(
        noop(lambda: _reconcile(*_converge()), "the project matches the project file"),
        due(
            lambda: _reconcile(_rename(), _converge()[1]),
            "~ project chainalign: name Another → ChainAlign",
            steps=_CONVERGE,
        ),
        due(lambda: _reconcile(Actual(""), Memory()), *map(str, _ALL), steps=_CONVERGE),
        due(
            lambda: _reconcile(Actual(""), Memory(), unseen=_UNSEEN),
            unknown=_UNSEEN,
            steps=_CONVERGE,
        ),
    ),
    "workspace.reconcile.canary_login": Cases(
        noop(lambda: _login(""), "the canary can log in"),
        due(
            lambda: _login("can't log in → can"),
            "~ identity infisical-iac-canary: can't log in → can",
            steps=("_make_login",),
        ),
        due(
            lambda: _login("new", CanaryLogin()),
            f"+ identity infisical-iac-canary: {canary.LOGIN_PURPOSE}",
            steps=("_make_login",),
        ),
        due(lambda: _login("", unseen=_UNSEEN), unknown=_UNSEEN, steps=("_make_login",)),
    ),
    "workspace.reconcile.canary_project": Cases(
        noop(lambda: _canary([], is_known=True), "the canary is as desired"),
        due(
            lambda: _canary([]),
            "~ /etc/infisical/workspace.json: id of the canary's project",
            steps=_KEEP,
        ),
        due(lambda: _canary(_CANARY), *map(str, _CANARY), steps=_KEEP),
        due(lambda: _canary(_CANARY, unseen=_UNSEEN), unknown=_UNSEEN, steps=_KEEP),
    ),
    "workspace.deploy.credential_files": Cases(
        noop(lambda: _store(), "every credential is in its file and works"),
        due(
            lambda: _store(replace(_FIRST, creates=False, orphans=("obviously-fake",))),
            f"- client secrets of {_FIRST.account.credentials} that no file holds: 1",
            steps=_STORE,
        ),
        due(
            lambda: _store(*_CREDENTIALS),
            *(f"+ credentials {each.account.credentials}" for each in _CREDENTIALS),
            steps=_STORE,
        ),
        due(
            lambda: _store(*_CREDENTIALS, unseen=_UNSEEN),
            unknown=_UNSEEN,
            steps=_STORE,
        ),
    ),
}
