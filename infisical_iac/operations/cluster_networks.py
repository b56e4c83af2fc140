"""The stack's networks, made anew where they are not as stack.yaml says."""

from pyinfra.context import host

from infisical_iac.cluster import consensus, deploy, networks, rollout, staged
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import Site
from infisical_iac.cluster.stack_state import RECORD, STACK_FILE, record_text
from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script

_WAITS = "{} can be made anew once all nodes and all of etcd are there: run again then"


@telling_operation
def made_anew(site: Site) -> Commands:
    """Have networks as `site` says: Docker changes none, and removes none that is in use.

    So what is in one that differs is stopped and removed, which leaves its volumes, and started
    again as it was rolled out last. It comes before what else the run changes, for a version that
    does not get healthy could not be taken back then. It waits for all nodes, as one that is away
    could still run what is to be stopped, and for etcd's members. Raises RolloutError.
    """
    found = cluster_site.look(site.settings.images)
    to_be = cluster_site.wanted(site, found)
    items = [*networks.items(found.networks, to_be.text)]
    if not items:
        host.noop("the networks are as stack.yaml says")
        return
    in_parts = staged.leading(found, to_be, site.cluster)
    if rollout.away(found.nodes) or in_parts or consensus.replaced(site.cluster.nodes):
        journal.unknown(_WAITS.format(" and ".join(each.what for each in items)))
        return
    journal.items(items)
    yield step(_make_anew, site)


def _make_anew(site: Site) -> None:
    before = cluster_site.fresh(site)
    wanted = cluster_site.wanted(site, before).text
    names = frozenset(item.what.split()[-1] for item in networks.items(before.networks, wanted))
    text = networks.with_networks(run(f"cat {STACK_FILE}", doing="read stack.yaml"), wanted)
    users = networks.users(text, names)
    services = " ".join(f"infisical_{name}" for name in sorted(users))
    run(
        script("cluster-networks", "remove", services, " ".join(sorted(names))),
        doing="take the networks away",
    )
    asked: dict[str, str] = {}
    databases = staged.databases(text)
    # What asks them finds them: it would otherwise start again and again.
    for part in (users & databases, users - databases):
        if part:
            timeout = 2 * site.settings.start_timeout
            asked |= deploy.part(staged.part(text, part), part, timeout)
        if part & databases:
            run(script("cluster-networks", "settle", "120"), doing="wait for Redis")
    deploy.most_well()
    write(RECORD, record_text(rollout.renewed(before, asked, users)))
