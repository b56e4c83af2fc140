"""Secrets before and after: what is not read the same any more."""

from infisical_iac.upgrade.reading import Secret, lost, secret


def _secret(value: str, version: int = 1, name: str = "TOKEN") -> Secret:
    return secret(
        "production",
        {
            "secretPath": "/backend",
            "secretKey": name,
            "version": version,
            "secretValue": value,
        },
    )


def test_a_secret_is_kept_without_its_value() -> None:
    assert "obviously-fake" not in repr(_secret("obviously-fake"))


def test_secrets_that_are_gone_or_read_otherwise_are_lost() -> None:
    before = {"1": _secret("a"), "2": _secret("b", name="URL"), "3": _secret("c", name="SAME")}
    after = {"2": _secret("x", name="URL"), "3": _secret("c", name="SAME")}
    assert lost(before, after) == [
        "TOKEN in production:/backend",
        "URL in production:/backend",
    ]


def test_secrets_that_somebody_has_written_since_are_not_lost() -> None:
    assert lost({"1": _secret("a")}, {"1": _secret("b", version=2), "2": _secret("c")}) == []
