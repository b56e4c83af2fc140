"""Test which variables of Infisical a user may set, and in which form."""

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.instance import variables
from infisical_iac.instance.variables import looks_secret
from tests.unit.settings_of import settings_of

# Obviously fake, in the forms of real ones.
_TOKEN = "ghp_" + "F4k3" * 9
_RANDOM = "q7Zp2xV9kLw4Rt8YbN3mC6hJ"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORT_TYPE", "prometheus"),
        ("OTEL_TELEMETRY_COLLECTION_ENABLED", "true"),
        ("SALT_ROUNDS", "12"),
        ("JWT_INVITE_LIFETIME", "3d"),
        ("URL_GITLAB_URL", "https://gitlab.example.com"),
        ("CORS_ALLOWED_HEADERS", '["x-request-id"]'),
        ("DEFAULT_SAML_ORG_SLUG", "acme-inc"),
        ("TELEMETRY_ENABLED", "true"),
    ],
)
def test_variables_of_the_vendor_are_accepted(name: str, value: str) -> None:
    assert settings_of(infisical_environment={name: value}).instance.variables == {name: value}


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("OTEL_EXPORT_TYP", "prometheus", "did you mean 'OTEL_EXPORT_TYPE'"),
        ("otel_export_type", "prometheus", "did you mean 'OTEL_EXPORT_TYPE'"),
        ("SOMETHING_ELSE", "x", "infisical-iac docs variables"),
        ("SMTP_HOST", "smtp.example.com", "derived from smtp"),
        ("SMTP_CUSTOM_CA_CERT", "x", "derived from extra_ca"),
        ("REDIS_URL", "redis://elsewhere", "redis_image"),
        ("ENCRYPTION_KEY", "x", "`infisical-iac keys`"),
        ("NODE_EXTRA_CA_CERTS", "/x.pem", "extra_ca"),
        ("BCRYPT_SALT_ROUND", "12", "SALT_ROUNDS"),
        ("URL_GITLAB_LOGIN", "https://gitlab.example.com", "login"),
        ("INFISICAL_CLOUD", "true", "the vendor's own cloud"),
        ("GITHUB_API_TOKEN", _TOKEN, "infisical_secrets"),
        ("OTEL_EXPORT_TYPE", "csv", "prometheus or otlp"),
        ("SALT_ROUNDS", "many", "a number"),
        ("TELEMETRY_ENABLED", "yes", "true or false"),
        ("JWT_INVITE_LIFETIME", "soon", "a time"),
        ("URL_GITLAB_URL", "gitlab.example.com", "an address"),
        ("CORS_ALLOWED_HEADERS", "[x", "JSON"),
        ("URL_GITLAB_URL", "https://ada:fake@gitlab.example.com", "looks like a secret"),
        ("CDN_HOST", _TOKEN, "looks like a secret"),
        ("OTEL_EXPORT_OTLP_ENDPOINT", "http://10.9.0.8:99999/v1", "host and port"),
        ("CDN_HOST", "https://[fd00::1/x", "host and port"),
        ("POSTHOG_HOST", "https://:443", "host and port"),
    ],
)
def test_each_other_variable_is_refused_with_its_remedy(name: str, value: str, fact: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(infisical_environment={name: value})
    assert name in str(refused.value)
    assert fact in str(refused.value)
    assert _TOKEN not in str(refused.value)
    assert "ada:fake" not in str(refused.value)


def test_the_form_of_each_variable_is_known() -> None:
    forms = {*variables.PLAIN.values()}
    assert forms == {"text", "url", "boolean", "number", "lifetime", "json", "choice"}
    assert not variables.SECRET & variables.PLAIN.keys()


@pytest.mark.parametrize("name", ["GITHUB_API_TOKEN", "DEFAULT_SAML_ORG_SLUG"])
def test_each_variable_of_the_vendor_may_be_secret(name: str) -> None:
    (given,) = settings_of(infisical_secrets=(name,)).instance.secrets
    assert (given.variable, given.key) == (name, f"given_{name.lower()}")


@pytest.mark.parametrize(
    ("name", "fact"), [("SMTP_PASSWORD", "smtp"), ("GITHUB_TOKEN", "GITHUB_API_TOKEN")]
)
def test_a_secret_without_such_a_variable_is_refused(name: str, fact: str) -> None:
    with pytest.raises(SettingsError, match=fact):
        settings_of(infisical_secrets=(name,))


@pytest.mark.parametrize(
    "value",
    [
        _TOKEN,
        _RANDOM,
        "https://ada:fake@example.com",
        "-----BEGIN PRIVATE KEY-----",
        "glpat-" + "f4K3" * 5,
        f"eyJhbGciOiJub25lIn0.eyJzdWIiOiJmYWtlIn0.{_RANDOM}",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AKIAIOSFODNN7EXAMPLE",
        "q7Zp2xV9k/Lw4Rt8+YbN3mC6hJ/5dTg1sKe==",
        "https://hooks.slack.com/services/T000/B000/fake",
        "https://discord.com/api/webhooks/1/fake",
        f"https://example.com/hook/{_RANDOM}",
        f"https://example.com/hook?token={_RANDOM}",
        f"example.com/{_RANDOM}/x",
        "5f0c1d2e3b4a59687786950a",
        "SG.fakefakefakefake1234.fakefakefakefake5678",
        f'{{"x": "{_RANDOM}"}}',
        "abc8Q~" + "fAk3" * 8 + "fA",
        # Short, and of one kind of characters.
        _RANDOM[:16],
        _RANDOM[:16].lower(),
        "0f4e1d2c3b5a6978",
        "qZpVkLwRtYbNmChJxGdS",
        "qzpvklwrtybnmchj",
        "QZPVKLWRTYBNMCHJ",
        "q7zp2xv9kblw4rt8ybn3",
        # By their beginnings.
        "hf_" + "FakeFake" * 4,
        "npm_" + "FakeFake" * 4,
        "whsec_" + "FakeFake" * 4,
        "xoxb-123456789012-123456789012-" + "FakeFake" * 3,
        "xoxe.xoxp-1-" + "FakeFake" * 4,
        "sk-" + "FakeFake" * 4,
        "sk-ant-api03-" + "FakeFake" * 4,
        "glagent-" + "FakeFake" * 4,
        "dckr_pat_" + "FakeFake" * 4,
        "ASIAFAKEFAKEFAKEFAKE",
        "AIza" + "FakeFake" * 4,
        "SK" + "0f4e" * 8,
        "1234567890:AA" + "FakeFake" * 4,
        "https://api.example.com/bot1234567890:AA" + "FakeFake" * 4,
    ],
)
def test_tokens_logins_and_private_keys_look_secret(value: str) -> None:
    assert looks_secret(value)


@pytest.mark.parametrize(
    "value",
    [
        "prometheus",
        "https://gitlab.example.com/some/long/path/of/words",
        "a-name-with-many-small-words-in-it",
        "00000000-0000-0000-0000-000000000000",
        "x-identity-tls-cert-auth-client-cert",
        '["x-request-id", "x-correlation-id"]',
        "secrets.internal.example.com:8443",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "1234567890-abc123def456.apps.googleusercontent.com",
        "123456789012-4k2j9d8f7g6h5j4k3l2m1n0p9q8r7s6t.apps.googleusercontent.com",
        "Iv1.0123456789abcdef",
        "Iv23liAb1Cd2Ef3Gh4Ij",
        "Ov23liAb1Cd2Ef3Gh4Ij",
        "oac_Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8",
        "01234567-89ab-cdef-0123-456789abcdef",
        "1234567890.1234567890123",
        "https://otel.example.com:4318/v1.0/Projects/MyApp2/Settings",
        "https://storage-accounts-internal.example.com/v2/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
        "https://[fd00::1]:4318/v1/metrics",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "infisical-prod-eu-central-1-audit-logs",
        "X-Forwarded-Tls-Client-Cert-V2",
        "ReplicatedMergeTree('/clickhouse/tables/{shard}/audit_logs2', '{replica}')",
        '[{"path": "/Prod/Api/V2/Keys", "environment": "prod2"}]',
        '{"async_insert": 1, "wait_for_async_insert": 0, "max_insert_block_size": 1048576}',
        "x-request-id,x-amzn-trace-id,x-b3-traceid",
        "10.0.0.0/8,192.168.0.0/16,172.16.0.0/12",
        "2001:db8:85a3:8d3:1319:8a2e:370:7348",
        "acme-gateway-relay-01.eu-central-1.internal",
        "audit_logs_production_2026_07",
        "true",
        "Audit logs, 90 days",
        "kubernetesproduction",
        "INFISICALAUDITLOGS",
        "storageaccountprod2026",
        "acmeHSMKey2026v1",
        "SoftwareKeyStore",
        "application/xhtml+xml,application/vnd.api+json",
        "20261127t201105z",
        "vpc-0123456789abcdef0",
        "arn:aws:iam::123456789012:role/InfisicalAuditLogs",
        "npm_config_registry_url",
        "https://s.internationalisation.example.com/v1",
        "https://st.a-long-staging-name.example.com",
        "sk-north-gateway",
        "CN=Acme Issuing Authority G2,O=Acme GmbH,C=DE",
        "key-rotation-and-more-keys",
    ],
)
def test_names_and_addresses_do_not_look_secret(value: str) -> None:
    assert not looks_secret(value)


@pytest.mark.parametrize("value", ["0f4e" * 16, f"{_RANDOM}{_RANDOM}"])
def test_the_id_of_an_application_may_be_random(value: str) -> None:
    """GitLab's have 64 hexadecimal digits, and Netlify's any letters and digits."""
    given = {"CLIENT_ID_GITLAB": value}
    assert settings_of(infisical_environment=given).instance.variables == given


@pytest.mark.parametrize("value", [_TOKEN, "GOCSPX-" + "f4k3" * 6, "0f4e" * 10])
def test_a_known_secret_is_refused_as_the_id_of_an_application(value: str) -> None:
    with pytest.raises(SettingsError, match="CLIENT_ID_GITHUB") as refused:
        settings_of(infisical_environment={"CLIENT_ID_GITHUB": value})
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    "value", [_TOKEN, _RANDOM, f"GITHUB_API_TOKEN={_RANDOM}", "fake-password", "fake"]
)
def test_a_value_among_the_names_of_secrets_is_not_shown(value: str) -> None:
    with pytest.raises(SettingsError, match="infisical_secrets") as refused:
        settings_of(infisical_secrets=(value,))
    assert value.rpartition("=")[2] not in str(refused.value)


def test_a_variable_in_clear_text_and_secret_is_refused() -> None:
    with pytest.raises(SettingsError, match="CDN_HOST"):
        settings_of(
            infisical_environment={"CDN_HOST": "cdn.example.com"}, infisical_secrets=("CDN_HOST",)
        )
