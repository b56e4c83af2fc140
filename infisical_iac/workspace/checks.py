"""Check Infisical after a change of version, keys or topology, by the agent on the host.

`agent/proof.py` has the checks. Here they get what they need of the settings.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from infisical_iac.agent import proving
from infisical_iac.agent.proof_model import Before, ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.core import journal
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.stack import edge, session
from infisical_iac.stack.paths import TEXT

_CHECKING = "check Infisical"


def plan_of(settings: Settings, project: str = "") -> ProofPlan:
    """Return what a proof on the current host needs of the settings.

    Args:
        project: the slug of the project whose secrets are read; empty if none are read.
    """
    return ProofPlan(
        project, settings.workspace.isolation, _address_of(settings), settings.cluster.topology
    )


def _address_of(settings: Settings) -> PublicAddress:
    is_ours = edge.is_ours(settings.stack)
    return PublicAddress(
        settings.stack.site_url,
        is_ours,
        TEXT,
        # A load balancer takes a while to notice that a node is healthy again.
        attempts=30 if settings.balancer_address else 7,
        certificates=edge.read_certificates_of_others() if is_ours else (),
    )


def refuse_undecryptable(port: int) -> None:
    """Raise CheckFailed if the running Infisical can't decrypt its secrets before the change.

    Otherwise secrets could not be compared after the change. An Infisical that does not work at all
    is accepted.
    """
    if session.NO_ENGINE not in journal.current().unknown:
        ask(question(proving.refuse_undecryptable, port=port))


def record_before(
    settings: Settings, project: str, port: int, *, same_ingress: bool = True
) -> Before | None:
    """Run the checks before a change; None if the deployer can't log in or can't read secrets.

    Args:
        project: the slug of the project whose secrets are read.
        port: where the API is published.
        same_ingress: whether the ingress and its port stay the same.
    """
    try:
        plan = asdict(plan_of(settings, project))
        asked = question(proving.record_before, plan=plan, port=port, same_ingress=same_ingress)
        return ask(asked)
    except UserError:
        return None


def check_as_before(
    settings: Settings,
    project: str,
    then: Before | None,
    *,
    port: int,
    same_data: bool,
    open_edge: Callable[[], None] | None = None,
    other_version: bool = False,
) -> list[str]:
    """Run the checks after a change, and return sentences on the results. Raises CheckFailed.

    Changes of version, rotations of keys and migrations between topologies all run them.

    Args:
        open_edge: opens the edge; None where it was not closed.
        then, port, same_data, other_version: as for `check_as_before` in `agent/proof.py`.
    """
    session.forget()
    plan = plan_of(settings, project)
    asked = question(
        proving.check_before_opening,
        plan=asdict(plan),
        then=_render(then),
        port=port,
        same_data=same_data,
        is_closed=open_edge is not None,
        other_version=other_version,
    )
    sentences = perform(asked, doing=_CHECKING)
    _open(plan.address, then, open_edge)
    return sentences


def check_public_address(
    settings: Settings, then: Before | None, open_edge: Callable[[], None] | None
) -> list[str]:
    """Check only the public address, as `check_as_before` does it. Raises CheckFailed."""
    address, is_closed = _address_of(settings), open_edge is not None
    asked = question(
        proving.check_closed, address=asdict(address), then=_shorten(then), is_closed=is_closed
    )
    sentences = ask(asked)
    _open(address, then, open_edge)
    return sentences


def _open(
    address: PublicAddress, then: Before | None, open_edge: Callable[[], None] | None
) -> None:
    if open_edge:
        open_edge()
    ask(question(proving.check_opened, address=asdict(address), then=_shorten(then)))


def _shorten(then: Before | None) -> dict[str, Any] | None:
    """Return the JSON value without what concerns the secrets."""
    return _render(then and replace(then, secrets={}, reach=None))


def _render(then: Before | None) -> dict[str, Any] | None:
    return None if then is None else then.to_json()


def is_public(settings: Settings) -> bool:
    """Return whether the host reaches Infisical by its public address."""
    return ask(question(proving.is_public, address=asdict(_address_of(settings))))
