"""Describe what the stack of a cluster depends on, what it is like, and what it is to be."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyinfra.context import host

from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.rollout import Level, Wanted
from infisical_iac.cluster.stack_file import SECRETS, StackInputs, configs, render_stack_file
from infisical_iac.cluster.stack_state import ClusterStack, ClusterStackState
from infisical_iac.core.operation import shared
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.stack.state import Upgrades


@dataclass(frozen=True)
class Site:
    """Hold what stack.yaml is rendered from, but for what the lead tells.

    `tls` is how far the services are to come with it.
    """

    settings: Settings
    machine: MachineState
    cluster: Cluster
    tls: Level = Level.REQUIRED


def look(images: Sequence[str]) -> ClusterStackState:
    """The stack as the lead sees it; for operations."""
    return shared(ClusterStack, images=list(images), secrets=SECRETS)


def fresh(site: Site) -> ClusterStackState:
    """The stack as it is now, after a change that no operation has told of yet."""
    return host.get_fact(ClusterStack, images=list(site.settings.images), secrets=SECRETS)


def running(site: Site) -> Site:
    """Return the site with the version that runs, for a roll-out that is no change of version.

    Only an upgrade dumps the data first and proves what it did.
    """
    was = host.get_fact(Upgrades, wanted=site.settings.stack.infisical_reference).was
    return replace(site, settings=site.settings.keeping(was)) if was else site


def inputs(site: Site, found: ClusterStackState) -> StackInputs:
    """Return what stack.yaml is rendered from, of what the lead tells.

    Before the first roll-out, what is not known yet stands for itself.
    """
    start: Mapping[str, tuple[str, ...]] = defaultdict(tuple, found.start)
    return StackInputs(
        numbers=site.cluster.numbers,
        existing=site.cluster.existing,
        generation=site.cluster.generation,
        nodes=len(site.cluster.nodes),
        ipvs=site.cluster.ipvs,
        esp=site.cluster.esp,
        secrets={
            purpose: found.secrets.get(purpose, f"{purpose}_{'0' * 12}") for purpose in SECRETS
        },
        start=start,
        tls=site.tls,
    )


def wanted_stack(site: Site, found: ClusterStackState) -> Wanted:
    """Return what the stack is to be: its file, and the configurations and secrets that this
    names.
    """
    given = inputs(site, found)
    return Wanted(
        text=render_stack_file(site.settings, site.machine, given),
        configs=configs(site.settings, given),
        secrets=frozenset(given.secrets.values()),
    )
