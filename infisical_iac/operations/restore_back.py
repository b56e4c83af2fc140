"""A restore that has not ended, undone: what it moved aside comes back, and serves."""

from infisical_iac.backup import restore, snapshot
from infisical_iac.backup.restore import DIRECTORY, KEYS, PROJECT, RestoreError
from infisical_iac.cluster import deploy
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import Site
from infisical_iac.core import session
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.operations import restore_keys
from infisical_iac.stack import compose, edge, keys
from infisical_iac.upgrade import given_up


def go_back(*, admin_email: str, timeout: int, site: Site | None = None) -> str:
    """Undo a restore that has not ended, and let run what ran before.

    Returns a sentence on what the host is like now. It can be repeated if it fails. Raises a
    UserError.

    Args:
        site: of a cluster, which is rolled out again.
    """
    phase = "".join(restore.state()[1:])
    snapshot.clean(DIRECTORY, PROJECT)
    said = restore.do("back", doing="bring the old data back")
    session.forget()
    if phase != "begun":
        restore_keys.complete(admin_email, keys.OF_A_CLUSTER if site else "")
    # One that was killed on its way back does not tell any more how far it had come.
    touched = phase in ("data", "backing", "back")
    kept = "".join(f" {each}" for each in given_up.kept(said.splitlines()))
    if site:
        return f"{_on_cluster(site, touched=touched)}{kept}"
    there = run(f"test ! -e {KEYS}/compose.yaml || echo there", doing="see what was there")
    if touched and there:
        compose.bring_up()
    edge.open_()
    _forget()
    if not touched:
        return "The data were not touched."
    return f"{_well(timeout, kept) if there else 'There were no data before it.'}{kept}"


def _on_cluster(site: Site, *, touched: bool) -> str:
    if touched:
        deploy.roll_out(cluster_site.running(site))
    edge.open_all(site.cluster)
    _forget()
    return "The old data are back and serve." if touched else "The data were not touched."


def _forget() -> None:
    restore.do("forget", doing="end what was undone")


def _well(timeout: int, kept: str) -> str:
    unwell = run(script("stack", "wait", str(timeout)), doing="wait for the containers")
    if unwell:
        raise RestoreError(f"the old data are back, but:\n{unwell}{kept}")
    return "The old data are back and serve."
