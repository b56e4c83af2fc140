"""Test that only rendered credentials are parsed back."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.workspace.credential_file import (
    REPORTED_BEFORE_END,
    Credential,
    Replaced,
    Term,
    parse,
    render,
)
from infisical_iac.workspace.credentials import path
from tests.unit.held import ACCOUNT, HELD, TEXT_BEFORE, TEXT_HELD


def test_the_file_has_a_fixed_form() -> None:
    assert path(ACCOUNT) == "/etc/infisical/credentials/backend.production.env"
    assert TEXT_HELD == (
        "# client secret secret-1 sha256 b9835138e65bd202\n"
        "INFISICAL_CLIENT_ID=client-1\n"
        "INFISICAL_CLIENT_SECRET=fake-secret\n"
        "INFISICAL_ENVIRONMENT=production\n"
        "NODE_ENV=production\n"
    )


def test_a_former_file_without_infisical_environment_is_valid() -> None:
    """Files of former releases have three variables; NODE_ENV names the environment."""
    assert (parse(TEXT_BEFORE), parse(TEXT_HELD)) == (replace(HELD, is_former=True), HELD)
    assert render(replace(HELD, is_former=True)) == TEXT_HELD


def test_a_file_that_names_two_environments_is_invalid() -> None:
    assert parse(TEXT_HELD.replace("NODE_ENV=production", "NODE_ENV=staging")) is None


def test_an_impossible_date_is_not_a_credential() -> None:
    ends = "# ends 2026-02-30T00:00:00Z, made 2026-01-01T00:00:00Z\n"
    assert parse(TEXT_HELD.replace("INFISICAL_CLIENT_ID", f"{ends}INFISICAL_CLIENT_ID")) is None


def test_no_value_shows_in_a_credential() -> None:
    assert "fake-secret" not in repr(HELD) + str(HELD)


@pytest.mark.parametrize(
    "file",
    [
        "docs/develop/credentials.md",
        "group_data/chainalign.yaml",
        "templates/init/group_data/chainalign.yaml.j2",
    ],
)
def test_pages_and_templates_name_the_time_before_the_end(file: str) -> None:
    assert timedelta(weeks=2) == REPORTED_BEFORE_END
    text = re.sub(r"\s+(# )?", " ", Path(file).read_text())
    assert re.search(r"(two weeks|14 days) before\b", text)


_IDS = st.text("abcdef0123456789-", min_size=1, max_size=36)
_VALUES = st.text("abcXYZ019._~+/=-", min_size=1, max_size=64)


_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)).map(
    lambda time: time.replace(tzinfo=UTC, microsecond=0)
)
_REPLACED = st.builds(
    Replaced, st.lists(_IDS, min_size=1, max_size=3).map(tuple), st.none() | _TIMES
)


@given(
    environment=st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
    ids=st.tuples(_IDS, _IDS),
    value=_VALUES,
    term=st.none() | st.builds(Term, _TIMES, _TIMES),
    replaced=st.none() | _REPLACED,
)
def test_a_rendered_credential_is_parsed_back(
    environment: str,
    ids: tuple[str, str],
    value: str,
    term: Term | None,
    replaced: Replaced | None,
) -> None:
    credential = Credential(environment, *ids, value, term, replaced)
    assert parse(render(credential)) == credential


@given(at=st.integers(0, len(TEXT_HELD) - 1), character=st.characters(codec="ascii"))
def test_a_changed_character_never_changes_the_credential_unnoticed(
    at: int, character: str
) -> None:
    parsed = parse(TEXT_HELD[:at] + character + TEXT_HELD[at + 1 :])
    assert parsed is None or parsed.client_secret == HELD.client_secret


@given(text=st.text())
def test_any_text_is_parsed_without_a_failure(text: str) -> None:
    assert parse(text) is None
