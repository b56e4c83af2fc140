"""The rules of what gets through to Infisical: targets, paths, credentials and headers.

Each regular expression is one that Caddy (RE2), nginx and HAProxy (PCRE) read alike, and that needs
no quotes in a Caddyfile.
"""

from base64 import b64encode

# A proxy matches the path that it has cleaned and decoded, and passes on the one that was sent;
# the server behind may end that at a semicolon, decode it again or resolve its dots. So only a path
# that can be read in one way gets through (RFC 3986, section 6.2.2): no escape stands for a
# delimiter, a control, a percent sign or what needs none, and no part is empty, or of dots and
# blanks alone. A query may hold anything.
_ASCII = r"%(?:2[1246-9a-c]|3[acde]|40|5[bde]|60|7[b-e])"
_MORE = "%[89ab][0-9a-f]"
# UTF-8, without the overlong forms by which a dot or a slash was once hidden.
_OTHERS = (
    rf"(?:%c[2-9a-f]|%d[0-9a-f]|%e0%[ab][0-9a-f]|%e[1-9a-f]{_MORE}"
    rf"|%f0%[9ab][0-9a-f]{_MORE}|%f[1-4]{_MORE}{_MORE}){_MORE}"
)
_PART = rf"/(?:(?:\.|%20)*(?:[a-z0-9_~!$&\x27()*+,=:@-]|{_ASCII}|{_OTHERS}))+(?:\.|%20)*"
TARGET = rf"(?i)^(?:https?://[^/?#\x5c]*)?(?:{_PART})*/?(?:\?.*)?$"

# Once the deploy has made the administrator, nobody has to call these from outside; people join
# by invitation, whose path (signup/complete-account/invite) stays open.
CLOSED = r"(?i)^/+api/+v\d+/+(admin/+(bootstrap|signup)|signup/+(email|complete-account/+signup))"

_LOGIN = r"auth/+([a-z0-9-]+-auth/+login|token/+(renew|revoke))"
# What only a machine identity asks for, what people ask for too, and what tells nothing.
IDENTITIES = rf"(?i)^/+api/+v\d+/+{_LOGIN}/?$"
SECRETS = r"(?i)^/+api/+v\d+/+secrets(/|$)"
STATUS = r"(?i)^/+api/+status/?$"
# Where people log in, and what administers the server.
LOGINS = r"(?i)^/+api/+v\d+/+(auth|admin)/"

# The server takes what follows any seven characters for the token, and the access log names the
# caller by it: so there is one way to write it, once. Several headers reach these joined by commas.
_TOKEN = r"Bearer\x20[A-Za-z0-9._~+/=-]+"
CREDENTIALS = rf"^(?:{_TOKEN})?$"
# OAuth clients and EST devices show a name and a password instead, where no token counts: on these
# routes of the server, and on no other below them.
_EST = r"(?:applications/[^/?\x20]+/profiles/)?[^/?\x20]+/(?:simple(?:re)?enroll|cacerts)"
_PASSWORD, _OF_PASSWORDS = (
    r"Basic\x20[A-Za-z0-9+/=]+",
    rf"/(?:api/v1/oauth/token|\.well-known/est/{_EST})/?",
)
BASIC, BASIC_PATHS = rf"^{_PASSWORD}$", rf"^{_OF_PASSWORDS}$"
# The same of a target, a blank and the header, for nginx, which combines no conditions.
TARGET_AND_CREDENTIALS = rf"^(?:\S+\x20(?:{_TOKEN})?|{_OF_PASSWORDS}(?:\?\S*)?\x20{_PASSWORD})$"

# What the access log keeps of a query, and how much of each. What is written twice, or with an
# escape in its name, or what the log would keep a part of, could hide from the log what is read: a
# server takes blanks from around a folder, and reads many slashes as one. And what stands behind a
# second question mark, which a server takes for a value, would be logged as a place. Nor would one
# be found in the log by what is asked for that has an escape it needs none, or blanks around it.
PLACES = ("projectId", "workspaceId", "workspaceSlug", "environment", "secretPath")
KEPT = {place: 600 if place == "secretPath" else 200 for place in PLACES}
KEPT_CHARACTERS = r"\w.%/~\-"
_NEEDLESS = "%(?:2[de]|3[0-9]|[46][1-9a-f]|5[0-9af]|7[0-9a])"
_NAME = f"[?&][^=&]*{_NEEDLESS}"
_ANY = "|".join(PLACES)
_SPELLED = rf"[?&](?:{_ANY})=[^&]*{_NEEDLESS}"
# No slug or id begins or ends with what needs an escape.
_AROUND = rf"[?&](?:{_ANY.replace('|secretPath', '')})=(?:%|[^&]*%[^&]{{2}}(?:&|$))"
_LONGER = "|".join(rf"[?&]{each}=[^&]{{{most}}}[^&]" for each, most in KEPT.items())
REPEATED = "|".join(f"[?&]{each}=.*[?&]{each}=" for each in PLACES)
HIDING = (
    rf"(?i:{_NAME}|{_SPELLED})|{_AROUND}|{REPEATED}|\?.*\?(?:{_ANY})="
    rf"|[?&](?:{_ANY})=[{KEPT_CHARACTERS}]*[^{KEPT_CHARACTERS}&]|{_LONGER}"
)

# Headers in which proxies tell servers something: where a request is from and by which name, of a
# client's certificate, of another path. They are for proxies to set, so nobody else's get through.
PROXIES = (
    *("X-*", "CF-*", "Fastly-*", "True-*", "Forwarded*", "Remote-*"),
    *("*Client*", "*Cert*", "*SSL*", "*TLS*", "*-IP", "*_*"),
)
# Headers of those kinds that callers have to send: webhooks of secret scanning and of honey tokens,
# KMIP servers and gateways, each with a signature or a token that the server checks.
OF_CALLERS = (
    *("X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature", "X-Hub-Signature-256"),
    *("X-Gitlab-Event", "X-Gitlab-Token", "X-Data-Source-Id"),
    *("X-Infisical-Signature", "X-Gateway-Upload-Token"),
    *("X-Kmip-Client-Id", "X-Kmip-Project-Id"),
    *("X-Kmip-Client-Certificate-Serial-Number", "X-Kmip-Server-Certificate-Serial-Number"),
)
# What the next proxy behind, HAProxy of a cluster, believes the one before it.
_OF_THE_PROXY = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


def forged_headers() -> str:
    """Return a regular expression of PCRE for the lower-case names of headers to drop."""
    kept = "|".join((*OF_CALLERS, *_OF_THE_PROXY))
    kinds = "|".join(each.replace("*", ".*") for each in PROXIES)
    return f"^(?!(?:{kept})$)(?:{kinds})$".lower()


def identity_token() -> str:
    """A regular expression for Authorization headers with the token of a machine identity.

    The claims of such a token name an `identityId`; in base64 the name reads one of three ways,
    by where it stands.
    """
    name = b'"identityId":'
    readings = (_core(name, shift) for shift in range(3))
    return rf"\.[A-Za-z0-9_-]*({'|'.join(readings)})"


def _core(text: bytes, shift: int) -> str:
    """The characters of base64 that `text` alone decides, `shift` bytes into a group of three."""
    encoded = b64encode(b"\0" * shift + text).decode().rstrip("=")
    whole = len(text) + shift
    return encoded[-(-shift * 8 // 6) : whole * 8 // 6]


# In the directory of the Caddyfile, which is mounted into every container of Caddy already.
MARKER = "closed"
RETRY_SECONDS = 30
# By this a check knows that the answer is Caddy's own, and not that of somebody else's proxy.
TEXT = "Infisical is being changed and will be back in a moment."
