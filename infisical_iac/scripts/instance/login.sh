# Asks a provider of logins, from this host, whether it knows a client and its secret.
#
#   login.sh prove    reads {url, client, secret, key, callback, authorities, proxy} as JSON on standard
#                     input, and prints {error, reason} as JSON: `client` for a client or secret that
#                     the provider refuses, `callback` for an address that it does not know,
#                     `certificate`, `unreachable`, `password` with the key of a secret that the
#                     host lacks, or nothing. Without a secret it takes that of the
#                     host, of the name `key`. `authorities` are further ones, in PEM. `proxy` is null, or
#                     {place, user, password}, whose password is found in the same way.
#
# The request for a token has a code that no provider ever made: one that accepts the client refuses
# the code, and nothing else happens.
set -eu
root=/etc/infisical

prove() {
    command -v python3 >/dev/null || { echo "python3 is missing on the host" >&2; exit 1; }
    python3 -I -c '
import json, ssl, sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener


class Stay(HTTPRedirectHandler):
    # The secret goes to no other address.
    def redirect_request(self, *_):
        return None


def read_key(name):
    try:
        return Path("'"$root"'/keys", name).read_text("utf-8").rstrip("\n")
    except FileNotFoundError:
        print(json.dumps({"error": "password", "reason": name}))
        sys.exit()


asked = json.load(sys.stdin)
secret = asked["secret"] or read_key(asked["key"])
context = ssl.create_default_context()
# Python from 3.13 on refuses authorities without a key usage, which Infisical accepts.
context.verify_flags &= ~ssl.VERIFY_X509_STRICT
if asked["authorities"]:
    context.load_verify_locations(cadata=asked["authorities"])
through = {}
if asked["proxy"]:
    through["https"] = "http://" + asked["proxy"]["place"]
    if asked["proxy"]["user"]:
        word = asked["proxy"]["password"] or read_key("given_outbound_proxy_password")
        through["https"] = "http://" + asked["proxy"]["user"] + ":" + word + "@" + asked["proxy"]["place"]
form = {
    "grant_type": "authorization_code",
    "code": "made-up-to-check-the-client",
    "redirect_uri": asked["callback"],
    "client_id": asked["client"],
    "client_secret": secret,
}
request = Request(asked["url"], urlencode(form).encode(), {"Accept": "application/json"})
error, reason, answer = "", "", b"{}"
try:
    try:
        opener = build_opener(Stay, ProxyHandler(through), HTTPSHandler(context=context))
        with opener.open(request, timeout=15) as found:
            answer = found.read(65536)
    except HTTPError as failed:
        with failed:
            answer = failed.read(65536)
        reason = f"status {failed.code}"
    said = json.loads(answer)
    word = said.get("error") if isinstance(said, dict) else ""
    if word in ("invalid_client", "incorrect_client_credentials"):
        error, reason = "client", word
    elif word == "redirect_uri_mismatch":
        error, reason = "callback", word
    elif word not in ("invalid_grant", "bad_verification_code"):
        error, reason = "unreachable", reason or "an unknown answer"
except URLError as failed:
    cause = failed.reason
    error = "certificate" if isinstance(cause, ssl.SSLCertVerificationError) else "unreachable"
    reason = getattr(cause, "verify_message", None) or str(cause)
except (OSError, ValueError) as failed:
    error, reason = "unreachable", reason or type(failed).__name__
print(json.dumps({"error": error, "reason": reason[:200]}))
'
}

"$@"
