# Runs a program in Python that calls somebody else's service from this host.
#
#   ask <program>    runs it after the lines below. The program finds the JSON of standard input in
#                    `asked`, and ends by `finish`, which prints {step, reason} and more as JSON.
#                    The step is the failed one, empty for none. If the host lacks a secret, the
#                    step is `password` and the reason is the name of its key.
#
# A secret is {key, value}: the value from this run or, if that is empty, the name of a key on the
# host.
set -eu

ask() {
    command -v python3 >/dev/null || { echo "python3 is missing on the host" >&2; exit 1; }
    # Debian's Python has all of it. -I keeps the directories and variables of others out.
    python3 -I -c "$begin$1"
}

begin='
import json, ssl, sys
from pathlib import Path

asked = json.load(sys.stdin)

def finish(step="", reason="", **more):
    print(json.dumps({"step": step, "reason": reason.rstrip(".")[:300], **more}))
    sys.exit()

def read(secret):
    file = Path("/etc/infisical/keys", secret["key"])
    if not secret["value"] and not file.exists():
        finish("password", secret["key"])
    return secret["value"] or file.read_text("utf-8").rstrip("\n")

def make_context(authorities):
    context = ssl.create_default_context()
    # Python from 3.13 on refuses authorities without a key usage, which Infisical accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context

def login_of(proxy):
    return proxy["user"] + ":" + read(proxy["password"]) if proxy["user"] else ""
'
