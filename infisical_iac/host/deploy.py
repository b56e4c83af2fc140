"""Lay the foundation of Infisical: the steps that a deploy, a restore and a move begin with."""

from infisical_iac.deploys.data_volume import data_volume
from infisical_iac.deploys.firewall import firewall
from infisical_iac.deploys.hardening import hardening
from infisical_iac.deploys.swarm import swarm
from infisical_iac.deploys.watch import watch
from infisical_iac.host.base import base
from infisical_iac.host.docker import docker
from infisical_iac.host.preflight import Preflight


def foundation(known: Preflight) -> None:
    """Bring the host to where its stack can run: hardened, with Docker, and of its swarm."""
    base(known=known)
    firewall(known=known)
    data_volume(known=known)
    docker(known=known)
    watch(known=known)
    hardening(known=known)
    swarm(known=known)
