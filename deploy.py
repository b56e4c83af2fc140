"""From a bare host to a running, bootstrapped Infisical; a second run changes nothing."""

from infisical_iac.deploys.backup import backup
from infisical_iac.deploys.base import base
from infisical_iac.deploys.bootstrap import bootstrap
from infisical_iac.deploys.canary import canary
from infisical_iac.deploys.credentials import credentials
from infisical_iac.deploys.data_volume import data_volume
from infisical_iac.deploys.docker import docker
from infisical_iac.deploys.firewall import firewall
from infisical_iac.deploys.hardening import hardening
from infisical_iac.deploys.ingress import ingress
from infisical_iac.deploys.preflight import preflight
from infisical_iac.deploys.record import record
from infisical_iac.deploys.share import share
from infisical_iac.deploys.stack import stack
from infisical_iac.deploys.swarm import swarm
from infisical_iac.deploys.watch import watch
from infisical_iac.deploys.workspace import workspace

known = preflight()
base(known=known)
firewall(known=known)
data_volume(known=known)
docker(known=known)
watch(known=known)
hardening(known=known)
swarm(known=known)
stack(known=known)
bootstrap(known=known)
workspace(known=known)
canary(known=known)
credentials(known=known)
backup(known=known)
ingress(known=known)
share(known=known)
record()
