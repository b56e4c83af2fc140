"""Test the host check of the client secret in a credentials file."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infisical_iac.agent.identities import ClientSecret
from infisical_iac.workspace.credential_file import Credential, Replaced
from infisical_iac.workspace.model import ServiceAccount
from tests.host.inside.client_secrets import find_problem

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_ACCOUNT = ServiceAccount("postman", "production", "/postman", (), 1800, 86400)
_HELD = ClientSecret("held", "infisical-iac: postman.production", _NOW, _NOW)
_CREDENTIAL = Credential("production", "client", "held", "obviously-fake")


@pytest.mark.parametrize("former", ["mailer", ""], ids=["with-renamed_from", "without"])
def test_a_client_secret_made_before_a_rename_is_the_services_own(former: str) -> None:
    """Infisical can't change the description of a client secret."""
    renamed = _ACCOUNT._replace(former=former)
    before = replace(_HELD, description="infisical-iac: mailer.production")
    assert find_problem(renamed, [before], _CREDENTIAL, _NOW) == ""


def test_a_client_secret_made_by_hand_or_kept_by_a_rotation_is_not_a_problem() -> None:
    by_hand = replace(_HELD, id="other", description="laptop")
    old = replace(_HELD, id="old")
    rotated = replace(_CREDENTIAL, replaced=Replaced(("old",)))
    assert find_problem(_ACCOUNT, [by_hand, old, _HELD], rotated, _NOW) == ""


@pytest.mark.parametrize(
    ("listed", "credential", "fact"),
    [
        ([_HELD], None, "missing or malformed"),
        ([], _CREDENTIAL, "does not list"),
        ([replace(_HELD, description="laptop")], _CREDENTIAL, "does not list"),
        (
            [replace(_HELD, ttl=60, created=_NOW - timedelta(hours=1))],
            _CREDENTIAL,
            "is used up",
        ),
        ([_HELD, replace(_HELD, id="lost")], _CREDENTIAL, "does not hold: lost"),
    ],
)
def test_a_client_secret_problem_names_the_identity(
    listed: list[ClientSecret], credential: Credential | None, fact: str
) -> None:
    problem = find_problem(_ACCOUNT, listed, credential, _NOW)
    assert problem.startswith("postman-production")
    assert fact in problem
