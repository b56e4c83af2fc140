"""Test the comparison of two lists of permissions."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.agent.privileges import are_equal
from infisical_iac.workspace.model import ServiceAccount

ACCOUNT = ServiceAccount("backend", "production", "/backend", ("/shared",), 1800, 86400)
OWN, SHARED = ACCOUNT.grants


def _but(**changed: Any) -> list[dict[str, Any]]:
    return [{**copy.deepcopy(OWN), **changed}, SHARED]


def test_order_and_notation_of_permissions_do_not_matter() -> None:
    written = [
        {**SHARED, "inverted": False},
        {
            "inverted": False,
            "subject": ["secrets"],
            "action": ["readValue", "describeSecret"],
            "conditions": {"secretPath": "/backend", "environment": {"$eq": "production"}},
        },
    ]
    assert are_equal(written, ACCOUNT.grants)


@pytest.mark.parametrize(
    "permissions",
    [
        [],
        [OWN],
        [OWN, SHARED, SHARED],
        _but(subject="secret-folders"),
        _but(action=["describeSecret", "readValue", "edit"]),
        _but(action="readValue"),
        _but(conditions=None),
        _but(conditions={"environment": {"$eq": "production"}}),
        _but(conditions={**OWN["conditions"], "secretPath": {"$glob": "/**"}}),
        _but(inverted=True),
    ],
)
def test_permissions_that_grant_something_else_differ(permissions: list[dict[str, Any]]) -> None:
    assert not are_equal(permissions, ACCOUNT.grants)


_FOLDERS = st.lists(st.sampled_from(["/a", "/b", "/c", "/d"]), min_size=1, unique=True)


@given(first=_FOLDERS, second=_FOLDERS)
def test_accounts_that_read_the_same_folders_have_equal_permissions(
    first: list[str], second: list[str]
) -> None:
    some, others = (
        ACCOUNT._replace(folder=each[0], imports=tuple(each[1:])).grants for each in (first, second)
    )
    assert are_equal(some, others) == (set(first) == set(second))
