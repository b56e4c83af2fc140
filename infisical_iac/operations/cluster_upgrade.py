"""The change of a cluster's version that the settings ask for, with a way back."""

from functools import partial

from pyinfra.context import host

from infisical_iac.change import gate, path, upgrade
from infisical_iac.change.path import Images
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster.change import Change
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, shared, step, telling_operation
from infisical_iac.facts.upgrade import Upgrades


@telling_operation
def upgraded(*, site: Site, project: str) -> Commands:
    """Bring data that an older version used to the one of the settings.

    Where there are no data, or no version changes, it does nothing: that is `rolled_out`'s. The
    images are on the nodes. Raises ChangeRefused, with nothing touched, for a change that can't be
    made, CanaryUnreadable where secrets can't be decrypted before it already, and ChangeFailed for
    one that was undone.
    """
    journal.current().kept = None
    if upgrade.waits():
        return
    settings = site.settings
    found = shared(Upgrades, wanted=settings.infisical_reference)
    wanted = Images(settings.infisical_reference, settings.patroni_image)
    changes = path.changes(found.was, wanted, same_bytes=found.same_bytes) if found.was else {}
    if not found.was or not changes:
        host.noop("no version changes")
        return
    with upgrade.refusing(found.was):
        path.refuse_other_major(found.was, wanted)
        path.refuse(found.was, wanted)
        upgrade.refuse_room([], settings)
        gate.refuse(settings.http_port)
    for what, how in changes.items():
        journal.item("~", what, how + upgrade.failed(found, wanted))
    change = Change(found.was, settings.infisical_reference)
    yield step(upgrade.make, partial(cluster_change.made, change, site, project))
