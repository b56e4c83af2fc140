"""The production host, named by the environment.

INFISICAL_HOST       its name or address (required)
INFISICAL_SSH_USER   the user to log in as, root unless set; others need sudo
INFISICAL_SSH_PORT   the port, 22 unless set
INFISICAL_SSH_KEY    the private key's file; unset, the agent and ~/.ssh are asked
"""

from infisical_iac.connection import host_from_environment

hetzner = [host_from_environment()]
