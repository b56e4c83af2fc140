"""Test that the host's output on its keys is parsed."""

import pytest

from infisical_iac.stack.keys import Keys, KeysState


def test_each_key_is_listed_by_its_problem() -> None:
    output = [
        "missing auth_secret",
        "missing redis_password",
        "sample encryption_key",
        "malformed kit_signing_key",
        "open /etc/infisical/keys",
        "stale .env",
        "admin ada@example.com",
        "repositories",
    ]
    assert Keys().process(output) == KeysState(
        repositories=True,
        missing=frozenset({"auth_secret", "redis_password"}),
        sample=frozenset({"encryption_key"}),
        malformed=frozenset({"kit_signing_key"}),
        open=frozenset({"/etc/infisical/keys"}),
        stale=frozenset({".env"}),
        admin_email="ada@example.com",
    )


@pytest.mark.parametrize(
    ("output", "state"),
    [
        ([], KeysState()),
        (["database"], KeysState(database=True)),
        (["replicas"], KeysState(database=True, replicas=True)),
    ],
)
def test_replicas_imply_a_database(output: list[str], state: KeysState) -> None:
    assert Keys().process(output) == state
