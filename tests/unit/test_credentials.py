"""When a service gets a new client secret, and which old ones are revoked."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.api.identities import ClientSecret
from infisical_iac.workspace import client_secrets
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.credentials import Credential, Holder, parse, path, plan, render
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.load import load
from tests.unit.deployment import ADMIN, TEXT, Deployment

DESIRED = load(
    "project: {name: ChainAlign, slug: chainalign}\n"
    "environments: [{slug: production, name: Production}]\n"
    "services: {backend: {folder: /backend}}\n"
)
(ACCOUNT,) = DESIRED.accounts()
HELD = Credential("production", "client-1", "secret-1", "fake-secret")
TEXT_HELD = render(HELD)
OURS = "infisical-iac: backend.production"


def _secret(id: str, description: str = OURS, *, is_lasting: bool = True) -> ClientSecret:
    return ClientSecret(id, description, is_lasting)


def _plan(
    text: str | None, *secrets: ClientSecret, client_id: str = "client-1"
) -> tuple[bool, tuple[str, ...]]:
    holder = Holder("identity-1", client_id, secrets)
    (step,) = plan(DESIRED, {"backend-production": holder}, {path(ACCOUNT): text})
    return step.creates, step.orphans


def test_the_file_has_a_fixed_form() -> None:
    assert path(ACCOUNT) == "/etc/infisical/credentials/backend.production.env"
    assert TEXT_HELD == (
        "# client secret secret-1 sha256 b9835138e65bd202\n"
        "INFISICAL_CLIENT_ID=client-1\n"
        "INFISICAL_CLIENT_SECRET=fake-secret\n"
        "NODE_ENV=production\n"
    )


def test_an_intact_file_whose_secret_is_listed_is_kept() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1")) == (False, ())


@pytest.mark.parametrize("text", [None, "", TEXT_HELD[:-1], TEXT_HELD + "X=1\n"])
def test_a_lost_or_damaged_file_is_replaced_and_its_secret_revoked(text: str | None) -> None:
    assert _plan(text, _secret("secret-1")) == (True, ("secret-1",))


def test_a_file_whose_secret_was_edited_is_replaced() -> None:
    edited = TEXT_HELD.replace("fake-secret", "fake-secreT")
    assert _plan(edited, _secret("secret-1")) == (True, ("secret-1",))


def test_a_file_of_another_environment_is_replaced() -> None:
    other = render(Credential("staging", "client-1", "secret-1", "fake-secret"))
    assert _plan(other, _secret("secret-1")) == (True, ("secret-1",))


def test_a_file_of_an_identity_that_was_made_anew_is_replaced() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1"), client_id="client-2") == (True, ("secret-1",))


def test_a_secret_that_was_revoked_in_infisical_is_replaced() -> None:
    assert _plan(TEXT_HELD) == (True, ())


def test_a_secret_that_expires_or_is_used_up_is_replaced() -> None:
    assert _plan(TEXT_HELD, _secret("secret-1", is_lasting=False)) == (True, ("secret-1",))


def test_what_an_interrupted_run_made_is_revoked_and_what_others_made_is_kept() -> None:
    secrets = (_secret("secret-0"), _secret("secret-1"), _secret("secret-2", "by hand"))
    assert _plan(TEXT_HELD, *secrets) == (False, ("secret-0",))


def test_an_identity_still_to_be_made_shows_in_the_plan_and_yields_no_secret() -> None:
    (step,) = plan(DESIRED, {}, {})
    assert str(step) == "+ credentials backend.production"
    server = httpx.MockTransport(lambda _: httpx.Response(500))
    deployment = Deployment()
    deployment.client = type(deployment.client)("http://fake", server)
    with pytest.raises(WorkspaceError, match="is not in Infisical yet"):
        client_secrets.create(deployment.client, step)


def test_a_second_run_keeps_every_file_and_a_lost_one_leaves_no_stray_secret() -> None:
    deployment = Deployment()
    deployment.deploy()
    files: dict[str, str | None] = {}
    assert len(_run(deployment, files)) == 6
    assert _run(deployment, files) == []
    lost = "/etc/infisical/credentials/backend.staging.env"
    before = files.pop(lost)
    assert _run(deployment, files) == [lost]
    assert files[lost] != before
    assert all(len(secrets) == 1 for secrets in deployment.server.secrets.values())


def _run(deployment: Deployment, files: dict[str, str | None]) -> list[str]:
    desired = load(TEXT)
    actual = read(deployment.client, workspace=desired, isolation="privilege", admin_email=ADMIN)
    steps = plan(desired, client_secrets.holders(deployment.client, actual), files)
    due = [step for step in steps if not step.is_settled]
    for step in due:
        if step.creates:
            files[step.path] = render(client_secrets.create(deployment.client, step))
        client_secrets.revoke_orphans(deployment.client, step)
    return [step.path for step in due]


def test_no_value_shows_in_a_credential() -> None:
    assert "fake-secret" not in repr(HELD) + str(HELD)


_IDS = st.text("abcdef0123456789-", min_size=1, max_size=36)
_VALUES = st.text("abcXYZ019._~+/=-", min_size=1, max_size=64)


@given(
    environment=st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
    ids=st.tuples(_IDS, _IDS),
    value=_VALUES,
)
def test_what_is_rendered_is_parsed_back(
    environment: str, ids: tuple[str, str], value: str
) -> None:
    credential = Credential(environment, *ids, value)
    assert parse(render(credential)) == credential


@given(at=st.integers(0, len(TEXT_HELD) - 1), character=st.characters(codec="ascii"))
def test_no_changed_character_goes_unnoticed_that_would_change_the_credential(
    at: int, character: str
) -> None:
    parsed = parse(TEXT_HELD[:at] + character + TEXT_HELD[at + 1 :])
    assert parsed is None or parsed.client_secret == HELD.client_secret


@given(text=st.text())
def test_any_text_is_parsed_without_a_failure(text: str) -> None:
    assert parse(text) is None
