"""The production host, named in `group_data/hetzner.py` or by the environment, which wins.

Where neither names it, it is the server at Hetzner Cloud that `infisical-iac server create` made,
found by its label with the token in HCLOUD_TOKEN.

INFISICAL_HOST       ssh_hostname   its name or address
INFISICAL_SSH_USER   ssh_user       the user to log in as, root unless set; others need sudo
INFISICAL_SSH_PORT   ssh_port       the port, 22 unless set
INFISICAL_SSH_KEY    ssh_key        the private key's file; unset, the agent and ~/.ssh are asked
INFISICAL_DATA_VOLUME  data_volume  the device that the data are on, none unless set or found
"""

from pathlib import Path

from infisical_iac.connection import production_host

hetzner = [production_host(Path(__file__).resolve().parents[1] / "group_data" / "hetzner.py")]
