"""sshd, changed so that nobody is locked out: a new connection must prove it."""

from collections.abc import Mapping
from typing import Any

from pyinfra.context import host

from infisical_iac.core import files, journal
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, shared, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.facts.files import PathState
from infisical_iac.host import sshd_config
from infisical_iac.host.hardening_fact import Hardening
from infisical_iac.host.sshd_config import DROP_IN
from infisical_iac.host.trial import tried


@telling_operation
def hardened(*, alone: bool, look: Mapping[str, object]) -> Commands:
    """Have sshd let keys in alone, by modern algorithms, and forward to the host alone.

    Where somebody else than root deploys, root can't log in at all.

    Args:
        alone: whether nobody but this project manages the host; else root gets in by a key where
            root did before.
        look: the arguments of the fact `Hardening`.

    Raises SshError if the run itself came in by another way than a key, or if another file of
    sshd's overrules ours.
    """
    there = shared(Hardening, **look)
    if not there.sshd.there:
        host.noop("OpenSSH's server is not installed")
        return
    method = _method(host.connector)
    root_logs_in = root_keeps_way_in(
        there.sshd.options.get("permitrootlogin", ""),
        method=method,
        by_sudo=bool(host.data.get("_sudo")),
        alone=alone,
    )
    options = sshd_config.wanted(there.sshd.supported, root_logs_in=root_logs_in)
    file = File(DROP_IN, sshd_config.drop_in(options))
    before = there.files.get(DROP_IN)
    if file.matches(before):
        sshd_config.refuse_overruled(options, there.sshd)
        if not there.sshd.stale:
            host.noop("sshd is hardened")
            return
        journal.item("~", "sshd", "reads its configuration again")
    else:
        sshd_config.refuse_earlier(options, there.sshd)
        files.tell(file, before)
    sshd_config.refuse_without_key(method, authorized=there.sshd.authorized)
    yield step(_change, file, options, before)


def root_keeps_way_in(permitted: str, *, method: str, by_sudo: bool, alone: bool) -> bool:
    """Return whether root gets in by a key.

    Args:
        permitted: what sshd takes for PermitRootLogin now.
        method: how this connection was let in; empty on the machine itself.
        by_sudo: whether somebody else than root deploys.
        alone: whether nobody but this project manages the host.
    """
    # Who runs on the machine itself may be root there, whoever logs in from elsewhere; and a
    # Dokploy that has several servers logs in to them, as root.
    return not by_sudo if method and alone else permitted != "no"


def _method(connector: Any) -> str:
    """Return how the connection was let in, as RFC 4252 calls it; empty where there is none."""
    client = getattr(connector, "client", None)
    transport = client.get_transport() if client else None
    return str(transport.auth_handler.auth_method) if transport else ""


def _change(file: File, options: Mapping[str, str], before: PathState | None) -> None:
    text = None
    if before:
        # Its last line break is lost on the way.
        text = run(f"cat {DROP_IN}", doing=f"read {DROP_IN}") + "\n"
    tried("sshd", lambda: _make(file, options), back=sshd_config.way_back(text))


def _make(file: File, options: Mapping[str, str]) -> None:
    write(file.path, file.content, mode=file.mode)
    run("sshd -t", doing="have sshd accept its configuration")
    printed = run(
        f"sshd -T | sed 's/^/option /'; {sshd_config.LOOK_AT_LINES}",
        doing="read what sshd makes of its configuration",
    )
    sshd_config.refuse_overruled(options, sshd_config.parse(printed.splitlines()))
    run(sshd_config.RELOAD, doing="let sshd read its configuration")
