# Runs a program in Python that asks a service of others from this host.
#
#   ask <program>    runs it, after the lines below: it finds in `asked` the JSON of standard input, and
#                    ends by `finish`, which prints {step, reason} and more as JSON. The step is the one
#                    that failed, empty for none; `password` with the name of a key is for a secret that
#                    the host lacks.
#
# A secret is {key, value}: the value that the run was given, or the name of a key on the host.
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
