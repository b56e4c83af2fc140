"""Test the conditions for a new client secret, and for revoking old ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from infisical_iac.agent.identities import ClientSecret
from infisical_iac.core.errors import UserError
from infisical_iac.workspace import credentials
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.credential_file import Credential, Replaced, Term, render
from infisical_iac.workspace.credentials import Holder, Step, notes, plan
from infisical_iac.workspace.load import load
from tests.unit.deployment import TEXT, Deployment
from tests.unit.held import DELIVERED, DESIRED, HELD, TEXT_BEFORE, TEXT_HELD

OURS = "infisical-iac: backend.production"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = 86_400


def _secret(id: str, description: str = OURS, *, ttl: int = 0, limit: int = 0) -> ClientSecret:
    made = NOW - timedelta(days=10)
    return ClientSecret(id, description, made, made, uses_limit=limit, ttl=ttl)


def _step(
    text: str, *secrets: ClientSecret, client_id: str = "client-1", delivered: bool = False
) -> Step:
    holder = Holder("identity-1", client_id, secrets)
    desired = DELIVERED if delivered else DESIRED
    (step,) = plan(desired, {"backend-production": holder}, {"backend.production": text}, NOW)
    return step


def _plan(
    text: str, *secrets: ClientSecret, client_id: str = "client-1"
) -> tuple[bool, tuple[str, ...]]:
    step = _step(text, *secrets, client_id=client_id)
    return step.creates, step.orphans


def _replacing(until: datetime | None) -> str:
    return render(replace(HELD, replaced=Replaced(("secret-0",), until)))


def test_an_intact_file_whose_secret_is_listed_is_kept() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1")) == (False, ())


def test_a_former_file_gets_infisical_environment_with_the_same_client_secret() -> None:
    step = _step(TEXT_BEFORE, _secret("secret-1"))
    assert (step.creates, step.orphans, step.is_up_to_date) == (False, (), False)
    assert str(step) == "~ credentials backend.production: INFISICAL_ENVIRONMENT added"


_JOB = """
ci:
  deploy:
    sees: {sees}
    auth: universal
"""
_OF_A_JOB = HELD.__class__("ci", "client-1", "secret-1", "fake-secret")


def _step_of_job(sees: str, text: str) -> Step:
    desired = load(f"{TEXT}{_JOB.format(sees=sees)}")
    holder = Holder("identity-1", "client-1", [_secret("secret-1", "infisical-iac: deploy.ci")])
    *_, step = plan(desired, {"ci-deploy": holder}, {"deploy.ci": text}, NOW)
    return step


@pytest.mark.parametrize(
    ("sees", "named"),
    [
        ("{production: [/backend]}", "production"),
        ("{production: [/backend], staging: [/backend]}", ""),
        ("names", ""),
    ],
)
def test_a_jobs_variables_name_the_environment_that_it_reads(sees: str, named: str) -> None:
    """An earlier release wrote `ci`, which is no environment; the client secret stays."""
    step = _step_of_job(sees, render(_OF_A_JOB))
    assert (step.creates, step.orphans, step.completes) == (False, (), True)
    assert step.held is not None
    after = render(step.held)
    assert ("NODE_ENV" in after, f"INFISICAL_ENVIRONMENT={named}\n" in after) == (
        bool(named),
        bool(named),
    )
    assert "=ci" not in after
    assert _step_of_job(sees, after).is_up_to_date


@pytest.mark.parametrize("text", ["", TEXT_HELD[:-1], TEXT_HELD + "X=1\n"])
def test_a_lost_or_damaged_file_is_replaced_and_its_secret_revoked(text: str) -> None:
    assert _plan(text, _secret("secret-1")) == (True, ("secret-1",))


def test_a_file_whose_secret_was_edited_is_replaced() -> None:
    edited = TEXT_HELD.replace("fake-secret", "fake-secreT")
    assert _plan(edited, _secret("secret-1")) == (True, ("secret-1",))


def test_a_file_of_another_environment_is_replaced() -> None:
    other = render(Credential("staging", "client-1", "secret-1", "fake-secret"))
    assert _plan(other, _secret("secret-1")) == (True, ("secret-1",))


def test_a_file_of_a_re_created_identity_is_replaced() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1"), client_id="client-2") == (True, ("secret-1",))


def test_a_revoked_secret_is_replaced() -> None:
    assert _plan(TEXT_HELD) == (True, ())


def test_an_expired_or_used_up_secret_is_replaced() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1", ttl=10 * DAY)) == (True, ("secret-1",))
    assert _plan(TEXT_HELD, _secret("secret-1", limit=5)) == (True, ("secret-1",))


def test_a_secret_is_kept_until_it_expires() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1", ttl=11 * DAY)) == (False, ())


@pytest.mark.parametrize("until", [None, NOW + timedelta(seconds=1)])
def test_replaced_secrets_are_kept_during_the_overlap(until: datetime | None) -> None:
    secrets = (_secret("secret-0"), _secret("secret-1"), _secret("stray"))
    step = _step(_replacing(until), *secrets)
    assert (step.creates, step.orphans, step.spared) == (False, ("stray",), ("secret-0",))


def test_replaced_secrets_are_revoked_after_the_overlap() -> None:
    secrets = (_secret("secret-0"), _secret("secret-1"))
    assert _plan(_replacing(NOW), *secrets) == (False, ("secret-0",))


def test_delivered_secrets_are_kept_when_their_file_is_lost() -> None:
    secrets = (_secret("secret-0", ttl=DAY), _secret("secret-1"))
    step = _step("", *secrets, delivered=True)
    assert (step.creates, step.orphans, step.spared) == (True, ("secret-0",), ("secret-1",))


def test_a_secret_that_ends_soon_is_reported() -> None:
    term = Term(NOW - timedelta(days=80), NOW + timedelta(days=10))
    step = _step(render(replace(HELD, term=term)), _secret("secret-1"))
    (note,) = notes([step], NOW)
    for fact in ("backend.production", "2026-12-05", "10 days", "rotate backend --env production"):
        assert fact in note
    assert notes([step], NOW - timedelta(days=5)) == []


@pytest.mark.parametrize(("delivered", "command"), [(True, "push"), (False, "rotate")])
def test_an_unfinished_rotation_is_reported(delivered: bool, command: str) -> None:
    step = _step(_replacing(None), _secret("secret-1"), delivered=delivered)
    (output,) = notes([step], NOW)
    assert output.endswith(f"run `infisical-iac credentials {command} backend --env production`")


def test_secrets_of_an_interrupted_run_are_revoked_and_those_of_others_kept() -> None:
    secrets = (_secret("secret-0"), _secret("secret-1"), _secret("secret-2", "by hand"))
    assert _plan(TEXT_HELD, *secrets) == (False, ("secret-0",))


def test_a_missing_identity_is_planned_and_yields_no_secret() -> None:
    (step,) = plan(DESIRED, {}, {})
    assert str(step) == "+ credentials backend.production"
    server = httpx.MockTransport(lambda _: httpx.Response(500))
    deployment = Deployment()
    deployment.client = type(deployment.client)("http://fake", server)
    with pytest.raises(UserError, match="'backend-production'") as refused:
        credentials.create(deployment.client, step)
    assert refused.value.code == "error.no_identity"


def test_a_second_run_keeps_every_file_and_a_lost_one_leaves_no_stray_secret() -> None:
    deployment = Deployment()
    deployment.deploy()
    files: dict[str, str] = {}
    assert len(_run(deployment, files)) == 6
    assert _run(deployment, files) == []
    lost = "backend.staging"
    before = files.pop(lost)
    assert _run(deployment, files) == [lost]
    assert files[lost] != before
    assert all(len(secrets) == 1 for secrets in deployment.server.secrets.values())


def _run(deployment: Deployment, files: dict[str, str]) -> list[str]:
    desired = load(TEXT)
    actual = read(deployment.client, deployment.goal(desired))
    steps = plan(desired, credentials.holders(deployment.client, actual), files)
    due = [step for step in steps if not step.is_up_to_date]
    for step in due:
        if step.creates:
            made = credentials.create(deployment.client, step)
            files[step.account.credentials] = render(made)
        credentials.revoke_orphans(deployment.client, step)
    return [step.account.credentials for step in due]
