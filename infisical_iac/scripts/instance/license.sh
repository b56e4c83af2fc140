# Reads why the running Infisical does not use its license.
#
#   license.sh why    prints "status <number>" if the vendor's server refused the key, "code <word>" if
#                     it was not reached, "invalid" or "expired" for an offline license, "failed" if
#                     the log has another reason; nothing if it has none
#
# The server logs the whole request, with the key: nothing else of the log is printed.
. ./containers.sh
set -eu

why() {
    id=$(container infisical)
    test -n "$id" || return 0
    { docker logs "$id" 2>&1 | grep -aE 'init-license:|EE offline license' | tail -n 1; } |
        python3 -I -c '
import json, re, sys

line = sys.stdin.read()
try:
    entry = json.loads(line)
except ValueError:
    entry = {}
message, error = str(entry.get("msg", "")), entry.get("err")
error = error if isinstance(error, dict) else {}
if "expired" in message:
    print("expired")
elif "verification failed" in message:
    print("invalid")
elif isinstance(error.get("status"), int):
    print("status", error["status"])
elif re.fullmatch("[A-Z_]{3,30}", str(error.get("code", ""))):
    print("code", error["code"])
elif line.strip():
    print("failed")
'
}

"$@"
