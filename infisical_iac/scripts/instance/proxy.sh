# Asks the proxy that Infisical reaches others by, from this host.
#
#   proxy.sh ask      reads {host, port, user, password, targets} as JSON on standard input, asks for a
#                     tunnel to each target, and closes it again; prints {target, step, status, reason}
#                     for each as JSON. Without a password it takes that of the host.
#   proxy.sh state    prints "password" if the host has the password of the proxy, else "none"; then
#                     the Compose file that Infisical was started with, if there is one
set -eu
root=/etc/infisical

state() {
    test -s "$root/keys/given_outbound_proxy_password" && echo password || echo none
    cat "$root/stack.yaml" 2>/dev/null || cat "$root/compose.yaml" 2>/dev/null || true
}

ask() {
    command -v python3 >/dev/null || { echo "python3 is missing on the host" >&2; exit 1; }
    # Debian's Python has all of it. -I keeps the directories and variables of others out.
    python3 -I -c '
import base64, json, re, socket, sys
from pathlib import Path

asked = json.load(sys.stdin)
login = ""
if asked["user"]:
    password, file = asked["password"], Path("'"$root"'/keys/given_outbound_proxy_password")
    if not password and not file.exists():
        found = {"target": asked["targets"][0], "step": "password", "status": 0, "reason": ""}
        print(json.dumps([found]))
        sys.exit()
    if not password:
        password = file.read_text("utf-8").rstrip("\n")
    name_and_password = asked["user"] + ":" + password
    text = base64.b64encode(name_and_password.encode()).decode()
    login = f"Proxy-Authorization: Basic {text}\r\n"

def ask(target):
    found = {"target": target, "step": "connect", "status": 0, "reason": ""}
    try:
        with socket.create_connection((asked["host"], asked["port"]), timeout=15) as proxy:
            found["step"] = "answer"
            head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n"
            proxy.sendall(head.encode())
            line = proxy.makefile("rb").readline(500).decode("latin-1").strip()
        answer = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?(.*)", line)
        if answer is None:
            found["reason"] = "it sends no answer of HTTP" if line else "it sends no answer"
        else:
            found |= {"step": "", "status": int(answer[1]), "reason": answer[2][:200]}
    except OSError as error:
        if isinstance(error, socket.gaierror):
            found["step"] = "resolve"
        found["reason"] = (error.strerror or str(error) or type(error).__name__)[:200]
    return found

print(json.dumps([ask(each) for each in asked["targets"]]))
'
}

"$@"
