# Logs in to the mail server as Infisical does, from this host, and may send a mail.
#
# Reads {host, port, tls, user, password, from, name, to, send, authorities} as JSON on standard input,
# and prints {step, reason}: see asking.sh. `password` is a secret, null for a server without logins.
# Unless `send` is true, it ends once the server accepts the recipient `to`, and sends nothing.
# `authorities` are further ones, in PEM.
. ./asking.sh

ask '
import smtplib, socket
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from ipaddress import ip_address

def check(code, said, temporary=False):
    if not 200 <= code < 300 and not (temporary and 400 <= code < 500):
        raise smtplib.SMTPResponseException(code, said)

step = "connect"
server = None
password = read(asked["password"]) if asked["password"] else ""
try:
    context = make_context(asked["authorities"])
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
    check(*server.mail(asked["from"]))
    step = "recipient"
    # Greylisting refuses only the first attempt; Infisical sends later.
    check(*server.rcpt(asked["to"]), temporary=not asked["send"])
    if asked["send"]:
        step = "send"
        mail = EmailMessage()
        mail["From"] = formataddr((asked["name"], asked["from"]))
        mail["To"] = asked["to"]
        mail["Subject"] = "Infisical can send mail"
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=asked["from"].rpartition("@")[2])
        mail.set_content("This mail was sent by `infisical-iac mail test`.\n")
        check(*server.data(mail.as_bytes()))
    with suppress(OSError):
        server.rset()
        server.quit()
    finish()
except smtplib.SMTPResponseException as error:
    said = error.smtp_error
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    finish(step, f"{error.smtp_code} {said}")
except ssl.SSLCertVerificationError as error:
    finish("certificate", error.verify_message)
except UnicodeEncodeError:
    # The reason of this error has a part of the text, which may be the password.
    finish(step, "it has other characters than those of ASCII")
except socket.gaierror as error:
    finish("resolve", str(error))
except (OSError, ValueError) as error:
    finish(step, str(error) or type(error).__name__)
finally:
    if server:
        server.close()
'
