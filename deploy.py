"""From a bare host to a running, bootstrapped Infisical; a second run changes nothing."""

from infisical_iac.deploys.backup import backup
from infisical_iac.deploys.canary import canary
from infisical_iac.deploys.credentials import credentials
from infisical_iac.deploys.ingress import ingress
from infisical_iac.deploys.record import record
from infisical_iac.deploys.share import share
from infisical_iac.deploys.workspace import workspace
from infisical_iac.host.deploy import foundation
from infisical_iac.host.preflight import preflight
from infisical_iac.stack.deploy import stack
from infisical_iac.workspace.deploy import bootstrap

known = preflight()
foundation(known=known)
stack(known=known)
bootstrap(known=known)
workspace(known=known)
canary(known=known)
credentials(known=known)
backup(known=known)
ingress(known=known)
share(known=known)
record()
