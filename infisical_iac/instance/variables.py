"""Check Infisical's environment variables by name and form.

The names and forms are those of the server's own schema, `backend/src/lib/config/env.ts`, as of
July 2026.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from math import log2
from typing import Annotated

from infisical_iac.core.errors import mask_logins
from infisical_iac.core.validation import Rule
from infisical_iac.host.model import has_fit_host
from infisical_iac.instance.login import GITLAB_URL, PROVIDERS, client_id_of, client_secret_of

_TEXT = """
    ACME_DNS_RESOLVER_SERVERS CDN_HOST CLICKHOUSE_AUDIT_LOG_ENGINE
    CLICKHOUSE_AUDIT_LOG_TABLE_NAME CLIENT_ID_AWS_INTEGRATION CLIENT_ID_AZURE CLIENT_ID_BITBUCKET
    CLIENT_ID_GCP_SECRET_MANAGER CLIENT_ID_GITHUB CLIENT_ID_GITHUB_APP CLIENT_ID_GITLAB
    CLIENT_ID_HEROKU CLIENT_ID_NETLIFY CLIENT_ID_VERCEL CLIENT_SLUG_GITHUB_APP CLIENT_SLUG_VERCEL
    CONTENTFUL_ENVIRONMENT CONTENTFUL_SPACE_ID CROSS_PROJECT_SECRET_SHARING_ORG_WHITELIST
    DATADOG_ENV DATADOG_HOSTNAME DATADOG_SERVICE DEFAULT_SAML_ORG_SLUG
    GATEWAY_INFISICAL_STATIC_IP_ADDRESS GATEWAY_RELAY_ADDRESS GATEWAY_RELAY_REALM HSM_KEY_LABEL
    HSM_LIB_PATH HUBSPOT_PORTAL_ID HUBSPOT_SIGNUP_FORM_ID
    IDENTITY_TLS_CERT_AUTH_CLIENT_CERTIFICATE_HEADER_KEY INF_APP_CONNECTION_AZURE_CLIENT_ID
    INF_APP_CONNECTION_AZURE_APP_CONFIGURATION_CLIENT_ID
    INF_APP_CONNECTION_AZURE_CLIENT_SECRETS_CLIENT_ID INF_APP_CONNECTION_AZURE_DEVOPS_CLIENT_ID
    INF_APP_CONNECTION_AZURE_KEY_VAULT_CLIENT_ID INF_APP_CONNECTION_GITHUB_APP_CLIENT_ID
    INF_APP_CONNECTION_GITHUB_APP_HOST INF_APP_CONNECTION_GITHUB_APP_ID
    INF_APP_CONNECTION_GITHUB_APP_SLUG INF_APP_CONNECTION_GITHUB_OAUTH_CLIENT_ID
    INF_APP_CONNECTION_GITHUB_RADAR_APP_CLIENT_ID INF_APP_CONNECTION_GITHUB_RADAR_APP_ID
    INF_APP_CONNECTION_GITHUB_RADAR_APP_SLUG INF_APP_CONNECTION_GITLAB_OAUTH_CLIENT_ID
    INF_APP_CONNECTION_HEROKU_OAUTH_CLIENT_ID INTERCOM_ID
    OTEL_COLLECTOR_BASIC_AUTH_USERNAME SANITIZED_SCHEMA_ROLE SECRET_SCANNING_GIT_APP_ID
    SECRET_SCANNING_GIT_APP_SLUG SECRET_SCANNING_ORG_WHITELIST SMTP_HELO_HOST
    SSL_CLIENT_CERTIFICATE_HEADER_KEY TNS_ADMIN WORKFLOW_SLACK_CLIENT_ID
"""
_URL = """
    INFISICAL_PRIMARY_INSTANCE_URL LICENSE_SERVER_URL OTEL_EXPORT_OTLP_ENDPOINT POSTHOG_HOST
    SECRET_SCANNING_WEBHOOK_PROXY URL_GITLAB_URL
"""
_BOOLEAN = """
    ACME_DNS_RESOLVE_RESOLVER_SERVERS_HOST_ENABLED ACME_SKIP_UPSTREAM_VALIDATION
    ANNOUNCEMENTS_ENABLED AUDIT_LOG_STREAMS_ENABLED CLICKHOUSE_AUDIT_LOG_ENABLED
    DATADOG_PROFILING_ENABLED DISABLE_AUDIT_LOG_GENERATION DISABLE_POSTGRES_AUDIT_LOG_STORAGE
    DISABLE_PUBLIC_SECRET_SHARING DISABLE_SECRET_SCANNING DNS_MADE_EASY_SANDBOX_ENABLED
    ENABLE_MSSQL_SECRET_ROTATION_ENCRYPT FAIL_ON_SANITIZED_SCHEMA_ERROR GENERATE_SANITIZED_SCHEMA
    KUBERNETES_AUTO_FETCH_SERVICE_ACCOUNT_TOKEN MAINTENANCE_MODE OTEL_DROP_HIGH_CARDINALITY_METERS
    OTEL_TELEMETRY_COLLECTION_ENABLED SHOULD_USE_DATADOG_TRACER TELEMETRY_ENABLED
"""
_NUMBER = """
    CLIENT_APP_ID_GITHUB_APP HSM_SLOT MAX_LEASE_LIMIT OTEL_OTLP_PUSH_INTERVAL
    PARAMS_FOLDER_SECRET_DETECTION_ENTROPY PIT_CHECKPOINT_WINDOW PIT_TREE_CHECKPOINT_WINDOW
    SALT_ROUNDS
"""
_LIFETIME = """
    JWT_INVITE_LIFETIME JWT_MFA_LIFETIME JWT_PROVIDER_AUTH_LIFETIME JWT_SIGNUP_LIFETIME
    MAX_MACHINE_IDENTITY_TOKEN_AGE
"""
_JSON = """
    CLICKHOUSE_AUDIT_LOG_INSERT_SETTINGS CORS_ALLOWED_HEADERS PARAMS_FOLDER_SECRET_DETECTION_PATHS
"""
_SECRET = """
    AUDIT_LOGS_DB_CONNECTION_URI AUDIT_LOGS_DB_ROOT_CERT CAPTCHA_SECRET CAPTCHA_SITE_KEY
    CLICKHOUSE_URL CLIENT_PRIVATE_KEY_GITHUB_APP CLIENT_SECRET_AWS_INTEGRATION CLIENT_SECRET_AZURE
    CLIENT_SECRET_BITBUCKET CLIENT_SECRET_GCP_SECRET_MANAGER CLIENT_SECRET_GITHUB
    CLIENT_SECRET_GITHUB_APP CLIENT_SECRET_GITLAB CLIENT_SECRET_HEROKU CLIENT_SECRET_NETLIFY
    CLIENT_SECRET_VERCEL CONTENTFUL_DELIVERY_TOKEN COOKIE_SECRET_SIGN_KEY
    DYNAMIC_SECRET_AWS_ACCESS_KEY_ID DYNAMIC_SECRET_AWS_SECRET_ACCESS_KEY
    GATEWAY_RELAY_AUTH_SECRET GITHUB_API_TOKEN HSM_PIN INF_APP_CONNECTION_AWS_ACCESS_KEY_ID
    INF_APP_CONNECTION_AWS_SECRET_ACCESS_KEY INF_APP_CONNECTION_AZURE_CLIENT_SECRET
    INF_APP_CONNECTION_AZURE_APP_CONFIGURATION_CLIENT_SECRET
    INF_APP_CONNECTION_AZURE_CLIENT_SECRETS_CLIENT_SECRET
    INF_APP_CONNECTION_AZURE_DEVOPS_CLIENT_SECRET INF_APP_CONNECTION_AZURE_KEY_VAULT_CLIENT_SECRET
    INF_APP_CONNECTION_GCP_SERVICE_ACCOUNT_CREDENTIAL INF_APP_CONNECTION_GITHUB_APP_CLIENT_SECRET
    INF_APP_CONNECTION_GITHUB_APP_PRIVATE_KEY INF_APP_CONNECTION_GITHUB_OAUTH_CLIENT_SECRET
    INF_APP_CONNECTION_GITHUB_RADAR_APP_CLIENT_SECRET
    INF_APP_CONNECTION_GITHUB_RADAR_APP_PRIVATE_KEY
    INF_APP_CONNECTION_GITHUB_RADAR_APP_WEBHOOK_SECRET
    INF_APP_CONNECTION_GITLAB_OAUTH_CLIENT_SECRET INF_APP_CONNECTION_HEROKU_OAUTH_CLIENT_SECRET
    LOOPS_API_KEY OTEL_COLLECTOR_BASIC_AUTH_PASSWORD PAM_AWS_ACCESS_KEY_ID
    PAM_AWS_SECRET_ACCESS_KEY POSTHOG_PROJECT_API_KEY PYLON_API_KEY RELAY_AUTH_SECRET
    SECRET_SCANNING_PRIVATE_KEY SECRET_SCANNING_WEBHOOK_SECRET WORKFLOW_SLACK_CLIENT_SECRET
"""
# The setting for each variable, by its name or the name's beginning; the longest match counts.
OWNED = {
    "ALLOW_INTERNAL_IP_CONNECTIONS": "internal_networks",
    "AUTH_SECRET": "`infisical-iac keys`",
    GITLAB_URL: "login",
    **{name(each): "login" for each in PROVIDERS for name in (client_id_of, client_secret_of)},
    "CORS_ALLOWED_ORIGINS": "site_url",
    "DB_": "postgres_image",
    "DYNAMIC_SECRET_ALLOW_INTERNAL_IP": "internal_networks",
    "ENCRYPTION_KEY": "`infisical-iac keys`",
    "HOST": "site_url",
    "HTTPS_ENABLED": "site_url",
    "HTTPS_PROXY": "outbound_proxy",
    "HTTP_PROXY": "outbound_proxy",
    "INFISICAL_PLATFORM_VERSION": "infisical_version",
    "INITIAL_ORGANIZATION_NAME": "organization",
    "JWT_AUTH_LIFETIME": "session_token_lifetime",
    "JWT_REFRESH_LIFETIME": "session_idle_lifetime",
    "LICENSE_KEY": "license_key",
    "LICENSE_KEY_OFFLINE": "license_key",
    "NODE_EXTRA_CA_CERTS": "extra_ca",
    "NODE_OPTIONS": "infisical_memory",
    "NODE_USE_ENV_PROXY": "outbound_proxy",
    "NO_PROXY": "no_proxy",
    "PORT": "http_port",
    "REDIS_": "redis_image",
    "ROOT_ENCRYPTION_KEY": "`infisical-iac keys`",
    "SITE_URL": "site_url",
    "SMTP_": "smtp",
    "SMTP_CUSTOM_CA_CERT": "extra_ca",
    "TRUSTED_PROXY_CIDRS": "trusted_proxy_cidrs",
}
DEPRECATED = {
    "BCRYPT_SALT_ROUND": "SALT_ROUNDS",
    "DISABLE_AUDIT_LOG_STORAGE": "DISABLE_POSTGRES_AUDIT_LOG_STORAGE",
    "JWT_AUTH_SECRET": "AUTH_SECRET",
    "NEXT_PUBLIC_SAML_ORG_SLUG": "DEFAULT_SAML_ORG_SLUG",
    "URL_GITLAB_LOGIN": "CLIENT_GITLAB_LOGIN_URL",
}
# For the vendor's own cloud, or for developing the server: they break a self-hosted instance.
_UNFIT = """
    ACME_DEVELOPMENT_HTTP01_CHALLENGE_HOST_OVERRIDES ACME_DEVELOPMENT_MODE BDD_NOCK_API_ENABLED
    DAILY_RESOURCE_CLEAN_UP_DEVELOPMENT_MODE FIPS_ENABLED GOLANG_SIDECAR_URL GO_SIDECAR_BINARY_PATH
    GO_SIDECAR_SHADOW_ENABLED GO_SIDECAR_SHADOW_SAMPLE_RATE GO_SIDECAR_SPAWN_ENABLED
    INFISICAL_CLOUD INFISICAL_DEDICATED INTERNAL_REGION
    LEGACY_IDENTITY_ACCESS_TOKEN_EXPIRATION_ENFORCED_AT LICENSE_SERVER_KEY LICENSE_SERVER_V2_MODE
    LICENSE_SERVER_V2_SERVICE_KEY LICENSE_SERVER_V2_URL NODE_ENV QUEUE_WORKERS_ENABLED
    ROTATION_DEVELOPMENT_MODE SHOULD_INIT_PG_QUEUE STANDALONE_MODE USE_PG_QUEUE
"""
_ADDRESS = "https://example.com:8443"
_FORMS: dict[str, tuple[str, str]] = {
    "text": (r"[^\n]+", "text on one line"),
    "url": (r"https?://[^\s]+", "an address such as https://example.com"),
    "boolean": (r"true|false", "true or false"),
    "number": (r"\d+(\.\d+)?", "a number such as 10"),
    "lifetime": (r"\d+(\.\d+)?\s?(s|m|h|d|w|y)", "a time such as 15m, 24h or 10d"),
    "json": (r"(?s)[\[{].*", "JSON"),
}
CHOICES = {
    "OTEL_EXPORT_TYPE": ("prometheus", "otlp"),
    "QUEUE_WORKER_PROFILE": ("all", "standard", "secret-scanning"),
}
# The form of each variable that a user may set in clear text.
PLAIN: Mapping[str, str] = {
    **dict.fromkeys(_TEXT.split(), "text"),
    **dict.fromkeys(_URL.split(), "url"),
    **dict.fromkeys(_BOOLEAN.split(), "boolean"),
    **dict.fromkeys(_NUMBER.split(), "number"),
    **dict.fromkeys(_LIFETIME.split(), "lifetime"),
    **dict.fromkeys(_JSON.split(), "json"),
    **dict.fromkeys(CHOICES, "choice"),
}
SECRET = frozenset(_SECRET.split())


def _check_environment(given: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in given.items():
        if name in SECRET:
            raise ValueError(f"{name} is a secret; write its name into infisical_secrets instead")
        _check_name(name)
        _check_value(name, value)
    return given


def _check_secrets(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        # The message does not show such a text: it may be the secret itself.
        if not re.fullmatch("[A-Z][A-Z0-9_]*", name) or looks_secret(name):
            raise ValueError(
                "has a text that is no name; write only names of variables, such as "
                "GITHUB_API_TOKEN, and give their values when `apply` asks for them"
            )
        if name not in PLAIN:
            _check_name(name)
    return names


def _check_name(name: str) -> None:
    """Raise ValueError for a variable that a user can't set."""
    if name in PLAIN or name in SECRET:
        return
    if replacement := DEPRECATED.get(name):
        owner = _find_owner(replacement)
        instead = f"the setting {owner}" if owner else replacement
        raise ValueError(f"{name} is deprecated by Infisical; use {instead} instead")
    if owner := _find_owner(name):
        raise ValueError(f"{name} is derived from {owner}; use that instead")
    if name in _UNFIT.split():
        raise ValueError(
            f"{name} is for the vendor's own cloud or for developing the server; leave it out"
        )
    known = sorted((*PLAIN, *SECRET))
    close = get_close_matches(name.upper(), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "`infisical-iac docs variables` lists all"
    raise ValueError(f"{name!r} is no variable of Infisical: {hint}")


def _find_owner(name: str) -> str:
    fitting = [
        each for each in OWNED if name == each or (each[-1] == "_" and name.startswith(each))
    ]
    return OWNED[max(fitting, key=len)] if fitting else ""


def _check_value(name: str, value: str) -> None:
    """Raise ValueError for a value of another form, or one that looks like a secret."""
    form = PLAIN[name]
    if form == "choice":
        if value not in CHOICES[name]:
            raise ValueError(f"{name} must be {' or '.join(CHOICES[name])}")
        return
    pattern, words = _FORMS[form]
    if not re.fullmatch(pattern, value) or (form == "json" and not _is_json(value)):
        raise ValueError(f"{name} must be {words}")
    if value.startswith(("http://", "https://")) and not has_fit_host(value):
        raise ValueError(f"{name} has no valid host and port; write an address such as {_ADDRESS}")
    if looks_secret(value, is_id="CLIENT_ID" in name):
        raise ValueError(
            f"the value of {name} looks like a secret; write its name into infisical_secrets "
            "instead, and remove the value from the file and its history"
        )


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


# Forms that only secrets have: tokens by their beginnings, webhooks by their hosts.
_SECRET_FORM = re.compile(
    r"""
    PRIVATE\ KEY-----
    | (?<![A-Za-z0-9]) (?:
        (?: gh[opsur]_ | npm_ | hf_ | nfp_ | ntn_ | sbp_ | ph[cx]_ | shp[a-z]{2}_ | lin_api_
          | do[opr]_v1_ | whsec_ | [sr]k_(?:live|test)_ ) [A-Za-z0-9]{16,}
        | (?: github_pat_ | gl[a-z]{2,5}- | glsa_ | xox[a-z][.-] | xapp- | sk-ant- | sk-proj-
          | GOCSPX- | hv[sbr]\. | SG\. | pypi- | dckr_pat_ | pscale_[a-z]+_ | sntrys_ | PMAK-
          | NRAK- | HRKU- | CFPAT- | ATATT | ya29\. | 1//0 ) [A-Za-z0-9_-]{16,}
        | sk-(?:[a-z]+-)* [A-Za-z0-9]{16,}
        | (?:AKIA|ASIA) [A-Z0-9]{16}
        | AIza [A-Za-z0-9_-]{16,}
        | (?: SK | dapi | key- ) [0-9a-f]{32}
        | AGE-SECRET-KEY-1 [A-Z0-9]{16,}
        | (?:bot)? [0-9]{8,10} : AA [A-Za-z0-9_-]{16,}
        | st\. [0-9a-f-]{16,} \.
        | eyJ [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]{8,}
        | [A-Za-z0-9_.~-]{3} [0-9]Q~ [A-Za-z0-9_.~-]{31,}
    )
    | hooks\.slack\.com/[a-z]+/ | discord(?:app)?\.com/api/webhooks/ | \.office\.com/webhook
    """,
    re.VERBOSE,
)
# Random texts that are public: ids of applications, which are UUIDs at Azure and Heroku, and of
# resources at AWS.
_PUBLIC = re.compile(
    r"""
    (?<![A-Za-z0-9]) (?:
        [0-9a-fA-F]{8} (?:-[0-9a-fA-F]{4}){3} - [0-9a-fA-F]{12}
        | [0-9]+-[a-z0-9]+\.apps\.googleusercontent\.com
        | Iv1\.[0-9a-f]{16} | [IO]v23[A-Za-z0-9]{16}
        | oac_[A-Za-z0-9]{24}
        | [a-z]{1,8}(?:-[a-z]{1,8})?-0[0-9a-f]{16}
    ) (?![A-Za-z0-9])
    """,
    re.VERBOSE,
)
# A host with or without scheme and port. A path may follow it.
_HOST = re.compile(
    r"[a-z]+://[a-z0-9.:\[\]-]+|(?<![\w/+=~.-])(?:[a-z0-9-]+\.)+[a-z]{2,}(?::\d+)?(?![\w+=~.-])"
)
_PATH = re.compile(r"""(?<![\w+=~.-])/[^\s"',;?&#]*""")
_RUN = re.compile(r"[A-Za-z0-9+/=_~-]{16,}")
_HEX = re.compile(
    r"(?<![A-Za-z0-9])(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{16,}(?![A-Za-z0-9])", re.IGNORECASE
)
_WORD = re.compile(r"[A-Z]?[a-z]{0,15}[0-9]{0,4}|[A-Z]{1,15}[0-9]{0,4}")
_VOWELS = "AEIOUYaeiouy"


def looks_secret(value: str, *, is_id: bool = False) -> bool:
    """Return whether a value has a login, a private key, or a random text like a token.

    Args:
        is_id: whether it is the id of an application, which may be as random as a token. Then only
            the form of GitHub's secrets, 40 hexadecimal digits, counts as a secret.
    """
    if mask_logins(value) != value or _SECRET_FORM.search(value):
        return True
    if is_id:
        return re.fullmatch("[0-9a-f]{40}", value) is not None
    # A blank replaces a host, so that the rest of its address begins with a slash like a path.
    rest = _HOST.sub(" ", _PUBLIC.sub(" ", value))
    segments = [each for path in _PATH.findall(rest) for each in path.split("/")]
    texts = (*segments, _PATH.sub(" ", rest))
    return any(_HEX.search(each) or any(map(_is_random, _RUN.findall(each))) for each in texts)


def _is_random(text: str) -> bool:
    """Return whether a text of letters, digits and the signs of base64 is random, not words."""
    parts = re.split("[-_=~/]", text)
    if len(parts) > 1 and all(map(_WORD.fullmatch, parts)):
        return False
    if text.lower() == text and "/" not in text and "+" not in text:
        # Names of servers, networks and files are joined by hyphens.
        return any(len(each) >= 16 and _is_mixed(each) for each in parts)
    return _is_mixed(text)


def _is_mixed(text: str) -> bool:
    """Return whether 16 characters or more are mixed in a way that names are not."""
    # Few vowels in a run of small or of capital letters, or none for long.
    letters = re.sub("[0-9]", "", text)
    if len(letters) >= 10 and letters.isalpha() and letters in (letters.lower(), letters.upper()):
        spoken = sum(each in _VOWELS for each in letters)
        if spoken < len(letters) / 5 or re.search(f"[^{_VOWELS}]{{6}}", letters):
            return True
    bits = sum(-n / len(text) * log2(n / len(text)) for n in Counter(text).values())
    steps = [len(each) for each in re.findall("[A-Z]?[a-z]+|[A-Z]+|[0-9]+", text)]
    # The entropy in bits per character, and the mean length of the words and numbers.
    is_long = len(text) >= 20
    longest = 3.5 if is_long and re.search("[0-9]", text) else 2.5
    return bits >= (3.6 if is_long else 3.3) and bool(steps) and sum(steps) / len(steps) < longest


# Variables in clear text, by name.
Environment = Annotated[
    dict[str, str],
    Rule(_check_environment, "[Infisical's variables](variables.md), as text"),
]
# Names of variables whose values are given once, and kept on the host.
SecretNames = Annotated[
    tuple[str, ...],
    Rule(_check_secrets, "names of [Infisical's variables](variables.md)"),
]
