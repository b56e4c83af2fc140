"""Test which entries are plain configuration, and which may be secrets."""

import pytest

from infisical_iac.migrate.findings import is_plain


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PORT", "3000"),
        ("DEBUG", "true"),
        ("LOG_LEVEL", "info"),
        ("DB_HOST", "db.example.com"),
        ("DB_HOST", "10.0.0.7:5432"),
        ("ORIGINS", "https://a.example.com,https://b.example.com"),
        ("REDIS_URL", "redis://localhost:6379/0"),
        ("TZ", "Europe/Berlin"),
        ("LANG", "en_US.UTF-8"),
        ("TIMEOUT", "30s"),
        ("MEDIA_ROOT", "/var/lib/media"),
    ],
)
def test_plain_configuration_is_distinguished_from_secrets(key: str, value: str) -> None:
    assert is_plain(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DB_PASSWORD", "true"),
        ("dbPassword", "3000"),
        ("API_KEY", "info"),
        ("SENTRY_DSN", "https://example.com/1"),
        ("REDIS_URL", "redis://:fake@localhost:6379/0"),
        ("CALLBACK", "https://example.com/?token=fake"),
        ("A", "fake-secret-1234"),
        ("A", "12345678901234"),
        ("A", ""),
    ],
)
def test_a_possible_secret_is_not_plain(key: str, value: str) -> None:
    assert not is_plain(key, value)
