"""What is closed to whom, as regular expressions that Caddy and Traefik both read.

A path is matched as the server behind will read it: unescaped, whatever its case. A slash may be
doubled, and anything may follow: Fastify ends a path at a semicolon, and takes a trailing slash.
"""

from base64 import b64encode

# Once the deploy has made the administrator, nobody has to call these from outside; people join
# by invitation, whose path (signup/complete-account/invite) stays open.
CLOSED = r"(?i)^/+api/+v\d+/+(admin/+(bootstrap|signup)|signup/+(email|complete-account/+signup))"

_LOGIN = r"auth/+([a-z0-9-]+-auth/+login|token/+(renew|revoke))"
# What only a machine identity asks for, what people ask for too, and what tells nothing.
IDENTITIES = rf"(?i)^/+api/+v\d+/+{_LOGIN}"
SECRETS = r"(?i)^/+api/+v\d+/+secrets([/;]|$)"
STATUS = r"(?i)^/+api/+status"
# Where people log in, and what administers the server.
LOGINS = r"(?i)^/+api/+v\d+/+(auth|admin)/"

# Headers that Infisical takes a caller's address from: only the proxy's own word counts.
FORGEABLE = (
    *("CF-Connecting-IP", "CF-Pseudo-IPv4", "Fastly-Client-IP", "Forwarded", "Forwarded-For"),
    *("True-Client-IP", "X-AppEngine-User-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Forwarded"),
)


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
