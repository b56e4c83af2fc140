# Checks from this host that a provider of logins knows a client and its secret.
#
# Reads {url, client, secret, callback, authorities, proxy} as JSON on standard input, and prints {step,
# reason}: see asking.sh. The step is `client` for a client or secret that the provider refuses,
# `callback` for an address that it does not know, `certificate` or `unreachable`. `secret` is a
# secret, `authorities` are further ones in PEM, and `proxy` is null or {place, user, password}.
#
# The request for a token has an invalid code. A provider that accepts the client refuses the code,
# and nothing else happens.
. ./asking.sh

ask '
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

class Stay(HTTPRedirectHandler):
    # The secret goes to no other address.
    def redirect_request(self, *_):
        return None

secret = read(asked["secret"])
through = {}
if proxy := asked["proxy"]:
    login = login_of(proxy)
    through["https"] = "http://" + (f"{login}@" if login else "") + proxy["place"]
form = {
    "grant_type": "authorization_code",
    "code": "made-up-to-check-the-client",
    "redirect_uri": asked["callback"],
    "client_id": asked["client"],
    "client_secret": secret,
}
request = Request(asked["url"], urlencode(form).encode(), {"Accept": "application/json"})
https = HTTPSHandler(context=make_context(asked["authorities"]))
reason = ""
try:
    try:
        with build_opener(Stay, ProxyHandler(through), https).open(request, timeout=15) as found:
            answer = found.read(65536)
    except HTTPError as failed:
        with failed:
            answer = failed.read(65536)
        reason = f"status {failed.code}"
    said = json.loads(answer)
    word = said.get("error") if isinstance(said, dict) else ""
    if word in ("invalid_client", "incorrect_client_credentials"):
        finish("client", word)
    if word == "redirect_uri_mismatch":
        finish("callback", word)
    if word not in ("invalid_grant", "bad_verification_code"):
        finish("unreachable", reason or "an unknown answer")
    finish()
except URLError as failed:
    cause = failed.reason
    step = "certificate" if isinstance(cause, ssl.SSLCertVerificationError) else "unreachable"
    finish(step, getattr(cause, "verify_message", None) or str(cause))
except (OSError, ValueError) as failed:
    finish("unreachable", reason or type(failed).__name__)
'
