# Logs in to the mail server as Infisical does, from this host, and may send a mail.
#
#   mail.sh prove     reads {host, port, tls, user, password, from, name, to, ca} as JSON on standard
#                     input and prints {ok, step, reason} as JSON. Without a password it takes that of
#                     the host. With `to` it sends a mail there; without it, it ends once the server
#                     accepts the sender, and sends none. `ca` has further authorities, in PEM.
#   mail.sh state     prints "password" if the host has the password of the mail server, else "none";
#                     then the Compose file that Infisical was started with, if there is one
set -eu
root=/etc/infisical

state() {
    test -s "$root/keys/given_smtp_password" && echo password || echo none
    cat "$root/stack.yaml" 2>/dev/null || cat "$root/compose.yaml" 2>/dev/null || true
}

prove() {
    command -v python3 >/dev/null || { echo "python3 is missing on the host" >&2; exit 1; }
    # Debian's Python has all of it. -I keeps the directories and variables of others out.
    python3 -I -c '
import json, smtplib, socket, ssl, sys
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from ipaddress import ip_address
from pathlib import Path

asked = json.load(sys.stdin)
step = "password"
server = None
try:
    password = asked["password"]
    if asked["user"] and not password:
        password = Path("'"$root"'/keys/given_smtp_password").read_text("utf-8").rstrip("\n")
    step = "connect"
    context = ssl.create_default_context()
    # Python from 3.13 on refuses authorities without a key usage, which Infisical accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if asked["ca"]:
        context.load_verify_locations(cadata=asked["ca"])
    if asked["tls"] == "tls":
        # A closed or blocked port fails here, and one without TLS below.
        socket.create_connection((asked["host"], asked["port"]), timeout=15).close()
        step = "tls"
        server = smtplib.SMTP_SSL(asked["host"], asked["port"], timeout=15, context=context)
    else:
        server = smtplib.SMTP(asked["host"], asked["port"], timeout=15)
    if asked["tls"] == "none":
        step = "public"
        peer = ip_address(server.sock.getpeername()[0].partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        if peer.is_global:
            raise ValueError(str(peer))
    step = "greet"
    server.ehlo_or_helo_if_needed()
    if asked["tls"] == "starttls":
        step = "starttls"
        if not server.has_extn("starttls"):
            raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS")
        step = "tls"
        server.starttls(context=context)
        server.ehlo()
    if asked["user"]:
        step = "auth"
        server.login(asked["user"], password)
    step = "sender"
    code, said = server.mail(asked["from"])
    if code != 250:
        raise smtplib.SMTPResponseException(code, said)
    if asked["to"]:
        step = "recipient"
        code, said = server.rcpt(asked["to"])
        if code not in (250, 251):
            raise smtplib.SMTPResponseException(code, said)
        step = "send"
        mail = EmailMessage()
        mail["From"] = formataddr((asked["name"], asked["from"]))
        mail["To"] = asked["to"]
        mail["Subject"] = "Infisical can send mail"
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=asked["from"].rpartition("@")[2])
        mail.set_content("This mail was sent by `infisical-iac mail test`.\n")
        code, said = server.data(mail.as_bytes())
        if code != 250:
            raise smtplib.SMTPResponseException(code, said)
    else:
        server.rset()
    print(json.dumps({"ok": True, "step": "", "reason": ""}))
except smtplib.SMTPResponseException as error:
    said = error.smtp_error
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    print(json.dumps({"ok": False, "step": step, "reason": f"{error.smtp_code} {said}"[:300]}))
except ssl.SSLCertVerificationError as error:
    print(json.dumps({"ok": False, "step": "certificate", "reason": error.verify_message[:300]}))
except UnicodeEncodeError:
    # The reason of this one has a part of the text: that may be the password.
    reason = "it has other characters than those of ASCII"
    print(json.dumps({"ok": False, "step": step, "reason": reason}))
except (OSError, smtplib.SMTPException, ValueError) as error:
    reason = str(error) or type(error).__name__
    if isinstance(error, socket.gaierror):
        step = "resolve"
    print(json.dumps({"ok": False, "step": step, "reason": reason[:300]}))
finally:
    if server:
        server.close()
'
}

"$@"
