"""Test the comparison of secrets before and after a change: unreadable and deleted secrets."""

from collections.abc import Collection

from infisical_iac.agent.reading import (
    Differences,
    ReadSecret,
    Secrets,
    compare_secrets,
    list_names,
    read_secret,
)


def _secret(value: str, version: int = 1, name: str = "TOKEN") -> ReadSecret:
    return read_secret(
        "production",
        {
            "secretPath": "/backend",
            "secretKey": name,
            "version": version,
            "secretValue": value,
        },
        b"key",
    )


def test_a_secret_is_kept_without_its_value() -> None:
    assert "obviously-fake" not in repr(_secret("obviously-fake"))


def test_a_secret_with_another_value_in_the_same_version_is_unreadable() -> None:
    before = {"1": _secret("a", name="URL"), "2": _secret("b", name="SAME")}
    found = _compare(before, {"1": _secret("x", name="URL"), "2": _secret("b", name="SAME")})
    assert list_names(found.unreadable) == "URL in production:/backend"
    assert found.deleted == []


def test_a_missing_secret_is_deleted_if_the_database_lacks_it() -> None:
    found = _compare({"1": _secret("a"), "2": _secret("b", name="URL")}, {}, present={"2"})
    assert list_names(found.deleted) == "TOKEN in production:/backend"
    assert list_names(found.unreadable) == "URL in production:/backend"


def test_secrets_that_somebody_has_written_since_do_not_differ() -> None:
    found = _compare({"1": _secret("a")}, {"1": _secret("b", version=2), "2": _secret("c")})
    assert (found.unreadable, found.deleted) == ([], [])


def _compare(before: Secrets, after: Secrets, present: Collection[str] = ()) -> Differences:
    return compare_secrets(before, after, present=present, closed=())
