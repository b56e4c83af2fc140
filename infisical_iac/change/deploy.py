"""Deploy the stack: change versions, and end what an earlier run left unfinished."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.change import ended, rotation, upgrade
from infisical_iac.change.releases import parse_unfinished
from infisical_iac.core import lock, transaction
from infisical_iac.core.agent import Question, inspect
from infisical_iac.core.errors import UserError
from infisical_iac.core.operation import Refusal
from infisical_iac.host import resume
from infisical_iac.host.site import Site, at
from infisical_iac.stack import keys
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.deploy import configure_containers, make_keys, run_containers
from infisical_iac.stack.deploy import questions as stack_questions
from infisical_iac.stack.state import deployment_question
from infisical_iac.workspace.preflight import Preflight, report


@deploy("Stack")
def stack(known: Preflight) -> None:
    """Make the keys, then bring the containers to the desired state."""
    at(known.site, StackSteps).bring_up(known)


@dataclass(frozen=True)
class StackSteps:
    """The steps of the deploy of the stack on a single host."""

    site: Site

    def questions(self, known: Preflight) -> Iterator[Question[Any]]:
        """Yield the questions that the steps ask the agent on a host that is up to date."""
        settings = known.settings
        yield from stack_questions(known)
        yield from transaction_questions()
        yield deployment_question(
            compose=compose_file(settings, known.machine), images=settings.images
        )

    def bring_up(self, known: Preflight) -> None:
        """Make the keys and run the stack as the settings say; the whole deploy "Stack"."""
        settings = known.settings
        make_keys(known, known.admin_password)
        configure_containers(settings)
        compose, project = compose_file(settings, known.machine), known.workspace.project.slug
        follow_transactions()
        end_interrupted(known, compose)
        upgrade.version(
            compose=compose, settings=settings, project=project, name="Change the version"
        )
        run_containers(settings, known.machine)
        keys.unused_secrets(more=keys.more_of(settings), name="Remove secrets that nothing uses")


def transaction_questions() -> Iterator[Question[Any]]:
    """Yield the questions that `follow_transactions` asks."""
    yield resume.resume_question()
    yield transaction.ended_question()


def follow_transactions() -> None:
    """Report changes that ended by themselves, and install the unit that takes one up at a boot."""
    for kind, journal in inspect(transaction.ended_question()).items():
        report(ended.describe(kind, journal))
    resume.resuming(name="Take up interrupted changes after a boot")


def tell_ended(known: Preflight) -> None:
    """Report the ends of changes that no command has followed, if this run has just taken the lock.

    Raises Refusal.
    """
    if lock.has_untold_end(host):
        try:
            report(ended.tell(known.settings)[0])
        except UserError as error:
            raise Refusal(str(error), error.code) from None


def end_interrupted(known: Preflight, compose: str = "") -> None:
    """End interrupted changes; `compose` is the text of compose.yaml, if the topology has one."""
    project = known.workspace.project.slug
    rotation.unfinished_rotation(
        state=known.machine.rotating,
        compose=compose,
        settings=known.settings,
        project=project,
        site=known.site,
        name="End a rotation that was interrupted",
    )
    upgrade.unfinished_change(
        unfinished=parse_unfinished(known.machine.upgrading),
        closed=known.machine.closed,
        project=project,
        site=known.site,
        name="End a change of version that was interrupted",
    )
