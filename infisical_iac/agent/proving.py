"""Prove Infisical for the operator's side: the functions of `proof.py`, with JSON arguments.

`plan` and `then` are JSON values of a ProofPlan and a Before. The operator's side opens the edge
itself, between `check_before_opening` and `check_opened`.
"""

from collections.abc import Mapping
from typing import Any

from infisical_iac.agent import proof, public_address
from infisical_iac.agent.proof_model import Before, ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.runner import Runner, action, observation

Json = Mapping[str, Any]


def _before(then: Json | None) -> Before | None:
    return None if then is None else Before.from_json(then)


@observation
def refuse_undecryptable(runner: Runner, *, port: int) -> None:
    """Call `proof.refuse_undecryptable`."""
    proof.refuse_undecryptable(runner, port)


@observation
def record_before(runner: Runner, *, plan: Json, port: int, same_ingress: bool) -> Before | None:
    """Call `proof.record_before`."""
    return proof.record_before(runner, ProofPlan.from_json(plan), port, same_ingress=same_ingress)


@action
def check_before_opening(
    runner: Runner,
    *,
    plan: Json,
    then: Json | None,
    port: int,
    same_data: bool,
    is_closed: bool,
    other_version: bool,
) -> list[str]:
    """Call `proof.check_before_opening`; what the proof of isolation makes, it deletes."""
    return proof.check_before_opening(
        runner,
        ProofPlan.from_json(plan),
        _before(then),
        port=port,
        same_data=same_data,
        is_closed=is_closed,
        other_version=other_version,
    )


@observation
def check_closed(runner: Runner, *, address: Json, then: Json | None, is_closed: bool) -> list[str]:
    """Call `proof.check_closed`."""
    asked = PublicAddress(**address)
    return proof.check_closed(runner, asked, _before(then), is_closed=is_closed)


@observation
def check_opened(runner: Runner, *, address: Json, then: Json | None) -> None:
    """Call `proof.check_opened`."""
    proof.check_opened(runner, PublicAddress(**address), _before(then))


@observation
def is_public(runner: Runner, *, address: Json) -> bool:
    """Return whether this host reaches Infisical by its public address, asked once."""
    return public_address.is_public(runner, PublicAddress(**address))
