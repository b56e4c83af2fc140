"""Prove Infisical in the steps of a transaction, by its plan and its journal."""

from infisical_iac.agent import proof
from infisical_iac.agent.proof_model import Before, ProofPlan
from infisical_iac.agent.transaction import StepContext

# After a change that an earlier version began, it is unknown what could be read before, but the
# deployer must be able to log in.
_UNKNOWN = Before({}, public=False)


def plan_of(work: StepContext) -> ProofPlan:
    """Return what a proof needs of the settings."""
    return ProofPlan.from_json(work.plan["proof"])


def record(work: StepContext) -> None:
    """Run the checks before a change, and keep the results in the journal."""
    same_ingress = bool(work.plan.get("same_ingress", True))
    before = proof.record_before(
        work.runner, plan_of(work), work.plan["port"], same_ingress=same_ingress
    )
    work.keep(before=before.to_json() if before else None)


def recall(work: StepContext) -> Before | None:
    """Return the results of the checks before the change; None if the deployer could not log in."""
    if "before" not in work.journal.kept:
        return _UNKNOWN
    found = work.journal.kept["before"]
    return Before.from_json(found) if found else None
