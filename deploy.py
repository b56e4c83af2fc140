"""From a bare host to a running, bootstrapped Infisical; a second run changes nothing."""

from infisical_iac.deploys.backup import backup
from infisical_iac.deploys.bootstrap import bootstrap
from infisical_iac.deploys.canary import canary
from infisical_iac.deploys.credentials import credentials
from infisical_iac.deploys.foundation import foundation
from infisical_iac.deploys.ingress import ingress
from infisical_iac.deploys.preflight import preflight
from infisical_iac.deploys.record import record
from infisical_iac.deploys.share import share
from infisical_iac.deploys.stack import stack
from infisical_iac.deploys.workspace import workspace

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
