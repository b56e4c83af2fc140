"""The keys that a restore needs: those of a recovery kit, and what follows from them."""

import base64
from datetime import UTC, datetime

from infisical_iac.backup import restore
from infisical_iac.backup.restore import KEYS, Source
from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.operations import recovery
from infisical_iac.recovery import placing
from infisical_iac.recovery.placing import Placing


@telling_operation
def placed(
    source: Source, *, admin_email: str, more: str = "", of_cluster: bool = False
) -> Commands:
    """Begin the restore: put the kit's files onto the host, and move those aside that differ.

    Raises PlacingError, with nothing changed, for keys that are others than the host's or are
    missing.

    Args:
        more: the keys that not every host has, in one word.
        of_cluster: whether the host leads a cluster.
    """
    files = placing.of_cluster(source.files) if of_cluster else source.files
    due = placing.decide(files, recovery.read().files, replace=source.replace_keys)
    by = f"signed by {source.signer}" if source.signer else "that nobody has signed"
    for path in sorted(due.put):
        journal.item("~" if path in due.aside else "+", f"{KEYS}/{path}", f"from the kit {by}")
    yield step(_place, due, admin_email, more)


def _place(due: Placing, admin_email: str, more: str) -> None:
    restore.do("begin", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", doing="begin the restore")
    if due.aside:
        restore.do("aside", *due.aside, doing="move the old keys aside")
    for path, text in due.put.items():
        # A key's file may end without the newline that whatever is sent as text gets.
        encoded = base64.b64encode(text.encode()).decode()
        restore.do("put", path, doing=f"write {KEYS}/{path}", stdin=f"{encoded}\n")
    if due.put:
        complete(admin_email, more)


def complete(admin_email: str, more: str) -> None:
    """Make what follows from the keys, and those that are missing still."""
    make = script("keys", "make", admin_email, *([more] if more else []))
    run(make, doing="bring the keys in order", stdin="\n")
