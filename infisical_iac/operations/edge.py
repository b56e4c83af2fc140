"""The edge of the current host: closed while a change is checked, and open once it has passed."""

import shlex

from infisical_iac.ingress.maintenance import MARKER, TEXT
from infisical_iac.operations import ingress
from infisical_iac.operations.ingress import CADDYFILE, DIRECTORY
from infisical_iac.operations.remote import CommandFailed, run
from infisical_iac.settings import Settings

_FILE = f"{DIRECTORY}/{MARKER}"
# No retries of curl's: it would wait for the 503 to end.
_ASK = """\
for attempt in 1 2 3 4 5 6 7; do
    test "$(curl --noproxy '*' --silent --max-time 10 {url})" != {text} || exit 0
    sleep 2
done
exit 1"""


def is_ours(settings: Settings) -> bool:
    """Whether what people reach from outside is Caddy of this project, which can be closed."""
    return settings.ingress == "caddy"


def close(settings: Settings) -> None:
    """Have Caddy answer every request with 503 from now on. Raises a UserError.

    Where Caddy is not ours, nothing is closed. It can be repeated.
    """
    if not is_ours(settings):
        return
    run(
        f"mkdir -p -m 700 {DIRECTORY} && touch {_FILE} && sync {DIRECTORY}",
        doing="close the edge",
    )
    looks = f"test ! -e {CADDYFILE} || grep -q 'try_files /{MARKER}' {CADDYFILE} || echo older"
    if run(looks, doing=f"read {CADDYFILE}"):
        ingress.bring(settings)


def open_() -> None:
    """Let everybody in again. Raises CommandFailed."""
    run(
        f"rm -f {_FILE}; test ! -d {DIRECTORY} || sync {DIRECTORY}",
        doing="open the edge",
    )


def answers_closed(url: str) -> bool:
    """Whether the host reaches its closed edge by the public address: its name, TLS and Caddy."""
    try:
        run(_ASK.format(url=shlex.quote(url), text=shlex.quote(TEXT)), doing=f"reach {url}")
    except CommandFailed:
        return False
    return True
