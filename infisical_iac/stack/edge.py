"""The edge of the current host: closed while a change is checked, and open once it has passed."""

import shlex
from collections.abc import Callable, Collection, Sequence

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.core import connection
from infisical_iac.core.connection import LOST, current, lost, with_others
from infisical_iac.core.errors import CommandFailed, UserError
from infisical_iac.core.files import Paths
from infisical_iac.core.item import Item, UpToDate
from infisical_iac.core.operation import Commands, shared, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.settings import Settings
from infisical_iac.stack import ingress
from infisical_iac.stack.ingress import CADDYFILE, CERTIFICATE, DIRECTORY
from infisical_iac.stack.paths import MARKER, TEXT
from infisical_iac.stack.settings import StackSettings

_FILE = f"{DIRECTORY}/{MARKER}"
# What Caddy certifies with, or was certified by, of its data and of its files; the keys lie beside
# these under other names.
_CERTIFICATES = f"""\
data=$(docker volume inspect --format '{{{{ .Mountpoint }}}}' infisical_caddy 2>/dev/null)/caddy
for file in "$data"/pki/authorities/*/root.crt "$data"/certificates/*/*/*.crt {CERTIFICATE}; do
    test ! -s "$file" || cat "$file"
done"""
# curl takes one bundle: the host's own authorities, and those on standard input.
_TRUSTING = """\
authorities=$(mktemp)
trap 'rm -f "$authorities"' EXIT
cat - /etc/ssl/certs/ca-certificates.crt >"$authorities" 2>/dev/null
curl() { command curl --noproxy '*' --silent --cacert "$authorities" "$@"; }
"""
# No retries of curl's: it would wait for the 503 to end.
_ASK = """\
for attempt in $(seq {attempts}); do
    test "$(curl --noproxy '*' --max-time 10 {url})" != {text} || exit 0
    sleep 2
done
exit 1"""


def is_ours(settings: StackSettings) -> bool:
    """Return whether outsiders reach a Caddy of this project, which can be closed."""
    return settings.runs_caddy


def close(settings: Settings) -> None:
    """Have Caddy answer every request with 503 from now on. Raises a UserError.

    Where Caddy is not ours, nothing is closed. It can be repeated.
    """
    if not is_ours(settings.stack):
        return
    run(f"mkdir -p -m 700 {DIRECTORY} && touch {_FILE} && sync {DIRECTORY}", doing="close the edge")
    looks = f"test ! -e {CADDYFILE} || grep -q 'try_files /{MARKER}' {CADDYFILE} || echo older"
    if run(looks, doing=f"read {CADDYFILE}"):
        ingress.bring(settings)


def close_on(settings: Settings, names: Sequence[str]) -> None:
    """Close the edge of the connected hosts of these names.

    Raises CommandFailed, with all closed that can be.
    """
    if failed := _on_each(names, lambda: close(settings)):
        raise CommandFailed(f"could not close the edge of every node: {'; '.join(failed)}")


def open_on(names: Sequence[str]) -> None:
    """Let everybody in again by the connected hosts of these names.

    A host that has failed meanwhile is reported, and is opened by the next run. Raises
    CommandFailed where none could be opened.
    """
    failed = _on_each(names, open_)
    for each in failed:
        logger.warning(f"{host.print_prefix}The next run opens the edge of a node: {each}")
    if len(failed) == len(names):
        raise CommandFailed(f"could not open the edge of any node: {'; '.join(failed)}")


def _on_each(names: Sequence[str], do: Callable[[], None]) -> list[str]:
    """Do it on every host; what failed, with the host's name."""
    failed = []
    for name in names:
        with connection.on(name):
            try:
                do()
            except UserError as error:
                failed.append(f"{name}: {error}")
            except LOST as error:
                failed.append(lost(host, error))
    return failed


@telling_operation
def opening() -> Commands:
    """Open the edge of the current host, once no change is under way any more.

    One that was closed on a cluster's node which then could not be reached is closed still.
    """
    there = shared(Paths, paths=[_FILE])
    yield from decide(there)


def decide(there: Collection[str]) -> Commands:
    """Decide whether to open the edge, by the path of its mark if that is `there`."""
    if _FILE not in there:
        yield UpToDate("the edge is open")
        return
    yield Item("~", "edge", "closed → open")
    yield step(open_)


def open_() -> None:
    """Let everybody in again. Raises CommandFailed."""
    run(f"rm -f {_FILE}; test ! -d {DIRECTORY} || sync {DIRECTORY}", doing="open the edge")


def answers_closed(settings: Settings, attempts: int) -> bool:
    """Return whether the host reaches its closed edge publicly: its name, TLS and Caddy."""
    url = shlex.quote(settings.stack.site_url)
    return can_reach(settings, _ASK.format(url=url, text=shlex.quote(TEXT), attempts=attempts))


def can_reach(settings: Settings, command: str) -> bool:
    """Return whether a command that asks the public address by `curl` succeeds on the host.

    The host trusts what Caddy of this deployment serves: its own authority, or one that only it
    knows, is in no host's list.
    """
    given = _certificates() if is_ours(settings.stack) else ""
    try:
        run(f"{_TRUSTING}{command}", doing=f"reach {settings.stack.site_url}", stdin=given)
    except CommandFailed:
        return False
    return True


def _certificates() -> str:
    """Return the certificates of Caddy on each connected host: any node of a cluster may answer."""
    found = []
    for each in with_others(host):
        with current(each):
            try:
                found.append(run(_CERTIFICATES, doing="read what Caddy certifies with"))
            except (UserError, *LOST):
                continue  # the others may answer
    return "".join(f"{each}\n" for each in found)
