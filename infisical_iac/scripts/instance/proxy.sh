# Checks Infisical's outbound proxy from this host.
#
# Reads {proxy, targets} as JSON on standard input; `proxy` is {place, user, password}, where the
# password is a secret. Requests a tunnel to each target, and closes it again. Prints {step, reason,
# answers}: see asking.sh. Each answer is {target, status, reason}.
. ./asking.sh

ask '
import base64, re, socket

host, _, port = asked["proxy"]["place"].rpartition(":")
login = login_of(asked["proxy"])
login = base64.b64encode(login.encode()).decode()
login = f"Proxy-Authorization: Basic {login}\r\n" if login else ""
answers, step = [], "connect"
try:
    for target in asked["targets"]:
        step = "connect"
        with socket.create_connection((host, int(port)), timeout=15) as proxy:
            step = "answer"
            head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n"
            proxy.sendall(head.encode())
            line = proxy.makefile("rb").readline(500).decode("latin-1").strip()
        answer = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?(.*)", line)
        if answer is None:
            finish("answer", "it sends no answer of HTTP" if line else "it sends no answer")
        answers.append({"target": target, "status": int(answer[1]), "reason": answer[2][:200]})
    finish(answers=answers)
except socket.gaierror as error:
    finish("resolve", error.strerror)
except OSError as error:
    finish(step, error.strerror or str(error) or type(error).__name__)
'
