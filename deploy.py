"""From a bare host to a running, bootstrapped Infisical; a second run changes nothing."""

from infisical_iac.backup.deploy import backup
from infisical_iac.change.deploy import stack
from infisical_iac.core.end_of_run import record
from infisical_iac.host.deploy import foundation, share
from infisical_iac.stack.deploy import ingress
from infisical_iac.workspace.deploy import bootstrap, canary, credentials, workspace
from infisical_iac.workspace.preflight import preflight

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
