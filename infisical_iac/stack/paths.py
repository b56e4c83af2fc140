"""Define which requests get through to Infisical: targets, paths, credentials and headers.

Caddy (RE2), nginx and HAProxy (PCRE) interpret each regular expression alike, and none needs quotes
in a Caddyfile.
"""

from base64 import b64encode

# A proxy matches the cleaned and decoded path, but forwards the original one. The server behind it
# may cut that at a semicolon, decode it again or resolve its dots. So only unambiguous paths get
# through (RFC 3986, section 6.2.2): no escape stands for a delimiter, a control character, a
# percent sign or a character that needs no escape, and no segment is empty or only of dots and
# blanks. A query may hold anything.
_ASCII = r"%(?:2[1246-9a-c]|3[acde]|40|5[bde]|60|7[b-e])"
_MORE = "%[89ab][0-9a-f]"
# UTF-8, without the overlong forms that were once used to hide a dot or a slash.
_OTHERS = (
    rf"(?:%c[2-9a-f]|%d[0-9a-f]|%e0%[ab][0-9a-f]|%e[1-9a-f]{_MORE}"
    rf"|%f0%[9ab][0-9a-f]{_MORE}|%f[1-4]{_MORE}{_MORE}){_MORE}"
)
_PART = rf"/(?:(?:\.|%20)*(?:[a-z0-9_~!$&\x27()*+,=:@-]|{_ASCII}|{_OTHERS}))+(?:\.|%20)*"
TARGET = rf"(?i)^(?:https?://[^/?#\x5c]*)?(?:{_PART})*/?(?:\?.*)?$"

# Once the deploy has created the administrator, nobody has to call these from outside. People join
# by invitation; its path (signup/complete-account/invite) stays open.
CLOSED = r"(?i)^/+api/+v\d+/+(admin/+(bootstrap|signup)|signup/+(email|complete-account/+signup))"

_LOGIN = r"auth/+([a-z0-9-]+-auth/+login|token/+(renew|revoke))"
# Paths that only machine identities call, paths that people call too, and one without any secret.
IDENTITIES = rf"(?i)^/+api/+v\d+/+{_LOGIN}/?$"
SECRETS = r"(?i)^/+api/+v\d+/+secrets(/|$)"
STATUS = r"(?i)^/+api/+status/?$"
# Paths of logins, and of the administration of the server.
LOGINS = r"(?i)^/+api/+v\d+/+(auth|admin)/"

# The server uses all after the first seven characters as the token, and the access log names the
# caller by the token. So only one spelling of a single header gets through: several headers arrive
# here joined by commas.
_TOKEN = r"Bearer\x20[A-Za-z0-9._~+/=-]+"
CREDENTIALS = rf"^(?:{_TOKEN})?$"
# OAuth clients and EST devices send a name and a password instead. The server accepts these only on
# these routes, where it ignores tokens.
_EST = r"(?:applications/[^/?\x20]+/profiles/)?[^/?\x20]+/(?:simple(?:re)?enroll|cacerts)"
_PASSWORD, _OF_PASSWORDS = (
    r"Basic\x20[A-Za-z0-9+/=]+",
    rf"/(?:api/v1/oauth/token|\.well-known/est/{_EST})/?",
)
BASIC, BASIC_PATHS = rf"^{_PASSWORD}$", rf"^{_OF_PASSWORDS}$"
# The same for target, blank and header in one text, for nginx, which can't combine conditions.
TARGET_AND_CREDENTIALS = rf"^(?:\S+\x20(?:{_TOKEN})?|{_OF_PASSWORDS}(?:\?\S*)?\x20{_PASSWORD})$"

# The parameters of a query that the access log keeps, and their greatest lengths. Requests that
# could hide from the log which secrets they read are refused:
#
# - a parameter that comes twice, has an escape in its name, or is too long to be logged whole;
# - a parameter after a second question mark, which the server reads as part of a value;
# - a value with a needless escape or with blanks around it, which a search of the log would miss:
#   the server strips blanks around a folder, and reads several slashes as one.
PLACES = ("projectId", "workspaceId", "workspaceSlug", "environment", "secretPath")
KEPT = {place: 600 if place == "secretPath" else 200 for place in PLACES}
KEPT_CHARACTERS = r"\w.%/~\-"
_NEEDLESS = "%(?:2[de]|3[0-9]|[46][1-9a-f]|5[0-9af]|7[0-9a])"
_NAME = f"[?&][^=&]*{_NEEDLESS}"
_ANY = "|".join(PLACES)
_SPELLED = rf"[?&](?:{_ANY})=[^&]*{_NEEDLESS}"
# No slug or id begins or ends with a character that needs an escape.
_AROUND = rf"[?&](?:{_ANY.replace('|secretPath', '')})=(?:%|[^&]*%[^&]{{2}}(?:&|$))"
_LONGER = "|".join(rf"[?&]{each}=[^&]{{{most}}}[^&]" for each, most in KEPT.items())
REPEATED = "|".join(f"[?&]{each}=.*[?&]{each}=" for each in PLACES)
HIDING = (
    rf"(?i:{_NAME}|{_SPELLED})|{_AROUND}|{REPEATED}|\?.*\?(?:{_ANY})="
    rf"|[?&](?:{_ANY})=[{KEPT_CHARACTERS}]*[^{KEPT_CHARACTERS}&]|{_LONGER}"
)

# Headers that proxies set for servers: a request's source and host name, a client's certificate,
# another path. Only proxies may set them, so those of clients are dropped.
PROXIES = (
    *("X-*", "CF-*", "Fastly-*", "True-*", "Forwarded*", "Remote-*"),
    *("*Client*", "*Cert*", "*SSL*", "*TLS*", "*-IP", "*_*"),
)
# Headers of those kinds that clients have to send: webhooks of secret scanning and of honey tokens,
# KMIP servers and gateways. The server checks a signature or a token of each.
OF_CALLERS = (
    *("X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature", "X-Hub-Signature-256"),
    *("X-Gitlab-Event", "X-Gitlab-Token", "X-Data-Source-Id"),
    *("X-Infisical-Signature", "X-Gateway-Upload-Token"),
    *("X-Kmip-Client-Id", "X-Kmip-Project-Id"),
    *("X-Kmip-Client-Certificate-Serial-Number", "X-Kmip-Server-Certificate-Serial-Number"),
)
# Headers that the next proxy, HAProxy of a cluster, accepts from the one in front of it.
_OF_THE_PROXY = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


def forged_headers() -> str:
    """Return a regular expression of PCRE for the lower-case names of headers to drop."""
    kept = "|".join((*OF_CALLERS, *_OF_THE_PROXY))
    kinds = "|".join(each.replace("*", ".*") for each in PROXIES)
    return f"^(?!(?:{kept})$)(?:{kinds})$".lower()


def identity_token() -> str:
    """Return a regular expression for Authorization headers with a machine identity's token.

    The claims of such a token have an `identityId`. In base64, that name has one of three forms,
    depending on its position.
    """
    name = b'"identityId":'
    readings = (_core(name, shift) for shift in range(3))
    return rf"\.[A-Za-z0-9_-]*({'|'.join(readings)})"


def _core(text: bytes, shift: int) -> str:
    """Return the base64 characters that depend only on `text`, at byte `shift` of a group of 3."""
    encoded = b64encode(b"\0" * shift + text).decode().rstrip("=")
    whole = len(text) + shift
    return encoded[-(-shift * 8 // 6) : whole * 8 // 6]


# A file in the directory of the Caddyfile, which every Caddy container mounts.
MARKER = "closed"
RETRY_SECONDS = 30
# The page for people asks again at shorter intervals: a browser is one client, not a fleet.
PAGE_SECONDS = 10
# A check recognises Caddy's own answer by this text.
TEXT = "Infisical is being changed and will be back in a moment."
