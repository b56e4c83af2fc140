"""Deploy Infisical: bring a bare host to a running, bootstrapped instance, step by step.

The `deploy.py` of a user's repository imports and calls `deploy`:

    from infisical_iac.deploy import deploy

    deploy()

pyinfra runs that file once for each host of an inventory. Users can add operations of their own
before or after the call.
"""

from infisical_iac.backup.deploy import backup
from infisical_iac.backup.deploy import questions as backup_questions
from infisical_iac.change.deploy import StackSteps, stack, tell_ended
from infisical_iac.core.agent import inspect_ahead
from infisical_iac.core.errors import UserError
from infisical_iac.core.operation import Refusal, record_run
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.deploy import questions as host_questions
from infisical_iac.host.firewall import end_egress
from infisical_iac.host.machine import deployed_question
from infisical_iac.host.site import at
from infisical_iac.monitoring.deploy import monitoring
from infisical_iac.monitoring.deploy import questions as monitoring_questions
from infisical_iac.stack.deploy import given_secrets, ingress
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, sign_in, workspace
from infisical_iac.workspace.deploy import questions as workspace_questions
from infisical_iac.workspace.preflight import Preflight, preflight


def inspect_once(known: Preflight) -> None:
    """Read in one remote command the state that all operations compare on an up-to-date host.

    Raises Refusal, with nothing changed, if the host can't be observed.
    """
    questions = (
        deployed_question(),
        *host_questions(known),
        *at(known.site, StackSteps).questions(known),
        *workspace_questions(),
        *backup_questions(known),
        *monitoring_questions(known),
    )
    try:
        inspect_ahead(questions)
    except UserError as error:
        raise Refusal(str(error), error.code) from None


def deploy() -> None:
    """Run all steps on the current host, in order; a second run changes nothing.

    Raises Refusal, with nothing changed, if the settings or the host's state do not allow a deploy.
    """
    known = preflight()
    tell_ended(known)
    inspect_once(known)
    given_secrets(known=known)
    foundation(known=known)
    stack(known=known)
    bootstrap(known=known)
    workspace(known=known)
    canary(known=known)
    credentials(known=known)
    sign_in(known=known)
    backup(known=known)
    ingress(known=known)
    monitoring(known=known)
    share(known=known)
    end_egress(known=known)
    record_run()
