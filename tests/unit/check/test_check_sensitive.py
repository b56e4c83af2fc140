"""Test which values of an `.env` file should be only in Infisical."""

import pytest

from infisical_iac.check.env_files import is_sensitive


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("DB_PASSWORD", "12"),
        ("DATABASE_URL", "postgres://app:fake-p4ssword@db:5432/app"),
        ("PAYMENTS", "sk_fake_51FAKEfakeFAKEfake"),
        ("ADMIN_HASH", "$2b$10$fakefakefakefakefakefuFAKEFAKEFAKE"),
        ("ACCOUNT", '{"user": "a", "private_key": "fake"}'),
        ("SIGNING", "-----BEGIN FAKE KEY-----\nbm90LWEta2V5\n-----END FAKE KEY-----\n"),
        ("SLACK_WEBHOOK_URL", "https://hooks.example.com/services/T0FAKE/B0FAKE"),
        ("REDIS_URL", "redis://:fake-p4ssword@localhost:${PORT}"),
        ("PUBLIC_URL", "http://ada:fake-p4ssword@localhost:${PORT}"),
        ("PUBLIC_URL", "http://localhost:${PORT}/?token=FAKE4fakeFAKE9fake"),
        ("INFISICAL_CLIENT_SECRET", "fake-client-secret-1"),
    ],
)
def test_a_secret_value_is_sensitive_in_samples_too(key: str, value: str) -> None:
    assert is_sensitive(key, value)
    assert is_sensitive(key, value, in_sample=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PORT", "3000"),
        ("APP_NAME", "ChainAlign"),
        ("LOG_LEVEL", "info"),
        ("CORS_ORIGINS", "https://a.example.com,https://b.example.com"),
        ("MAIL_FROM", "ChainAlign <no-reply@example.com>"),
        ("GREETING", "Hello ${name}, welcome to ChainAlign!"),
        ("PASSWORD_MIN_LENGTH", "12"),
        ("AUTH_URL", "https://auth.example.com"),
        ("DATABASE_URL", "postgres://${USER}:${PASSWORD}@localhost:5432/app"),
        ("PUBLIC_URL", "http://localhost:${PORT}"),
        ("PUBLIC_URL", "http://localhost:$PORT/"),
        ("API_URL", "http://127.0.0.1:${PORT:-3000}/api/v1"),
        ("API_URL", "http://${HOST}:${PORT}/api"),
        ("API_URL", "https://${TENANT}.example.com"),
        ("API_URL", "https://api.${DOMAIN}/v1"),
        ("ORIGINS", "http://localhost:${PORT},http://localhost:${ADMIN_PORT}"),
        ("REDIS_URL", "redis://:${REDIS_PASSWORD}@${REDIS_HOST}:${REDIS_PORT}/0"),
        ("OPTIONS", '{"horizon": 12, "model": "fast"}'),
        ("JWT_SECRET", ""),
        ("INFISICAL_CLIENT_ID", "0d0e1f2a-1111-4222-8333-444455556666"),
    ],
)
def test_plain_configuration_is_not_sensitive(key: str, value: str) -> None:
    assert not is_sensitive(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DB_PASSWORD", "changeme"),
        ("API_KEY", "<your key>"),
        ("API_KEY", "your-api-key-here"),
        ("JWT_SECRET", "xxxxxxxx"),
        ("DATABASE_URL", "postgres://user:password@localhost:5432/app"),
    ],
)
def test_a_placeholder_is_sensitive_in_a_file_that_is_in_use_and_not_in_a_sample(
    key: str, value: str
) -> None:
    assert is_sensitive(key, value)
    assert not is_sensitive(key, value, in_sample=True)
