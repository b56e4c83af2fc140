"""Test which secrets a move copies, removes, keeps and reports."""

from typing import Any

import pytest

from infisical_iac.workspace.secret_copies import CopiedSecret, SecretPlace, compare, write_item

_PLACE = SecretPlace("live", "/api", "KEY")


def _kept(value: str, version: int = 1) -> CopiedSecret:
    return CopiedSecret(value, "", (), (), True, version)


@pytest.mark.parametrize(
    ("here", "there", "copied", "group"),
    [
        (_kept("a"), None, None, "write"),
        (_kept("b", 2), _kept("a", 1), (1, 1), "write"),
        (_kept("b", 2), _kept("x", 7), (2, -8), "write"),
        (_kept("b", 2), _kept("x", 8), (2, -8), "newer"),
        (_kept("b", 2), None, (2, -1), "write"),
        (_kept("c", 3), _kept("x", 8), (2, -8), "conflicts"),
        (_kept("b", 2), None, (1, 1), "write"),
        (None, _kept("a", 1), (1, 1), "remove"),
        (None, _kept("a", 9), (1, -10), "remove"),
        (None, _kept("a", 9), (1, -9), "newer"),
        (_kept("a", 1), _kept("b", 2), (1, 1), "newer"),
        (_kept("a", 1), None, (1, 1), "newer"),
        (None, _kept("a"), None, "newer"),
        (None, _kept("b", 2), (1, 1), "newer"),
        (_kept("b", 2), _kept("c", 2), (1, 1), "conflicts"),
        (_kept("a"), _kept("b"), None, "conflicts"),
    ],
)
def test_the_versions_of_the_last_copy_decide_which_side_counts(
    here: CopiedSecret | None,
    there: CopiedSecret | None,
    copied: tuple[int, int] | None,
    group: str,
) -> None:
    found = compare(
        {_PLACE: here} if here else {},
        {_PLACE: there} if there else {},
        {str(_PLACE): copied} if copied else {},
    )
    named = {name: getattr(found, name) for name in ("write", "remove", "newer", "conflicts")}
    assert {name: places for name, places in named.items() if places} == {group: (_PLACE,)}


def test_equal_secrets_are_counted_whatever_their_versions() -> None:
    assert compare({_PLACE: _kept("a", 3)}, {_PLACE: _kept("a", 8)}, {}).same == 1


def test_metadata_that_the_server_stores_encrypted_differ_from_plain_ones() -> None:
    listed: dict[str, Any] = {"secretValue": "a", "version": 1}
    both = [
        CopiedSecret.of({**listed, "secretMetadata": [{"key": "k", "value": "v", **more}]})
        for more in ({"isEncrypted": True}, {"isEncrypted": False}, {})
    ]
    assert both[0] != both[1] == both[2]
    assert write_item("KEY", both[0], {})["secretMetadata"][0]["isEncrypted"] is True
