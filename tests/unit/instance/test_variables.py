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
        ("SOMETHING_ELSE", "x", "docs/reference/variables.md"),
        ("SMTP_HOST", "smtp.example.com", "follows from smtp"),
        ("SMTP_CUSTOM_CA_CERT", "x", "follows from extra_ca"),
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
    ],
)
def test_each_other_variable_is_refused_with_what_to_write(
    name: str, value: str, fact: str
) -> None:
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
    (given,) = settings_of(infisical_secrets=(name,)).instance.given
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
    ],
)
def test_names_and_addresses_do_not_look_secret(value: str) -> None:
    assert not looks_secret(value)
