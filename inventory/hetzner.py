"""The production host or hosts, named in `group_data/hetzner.py` or by the environment, which wins.

Where neither names any, it is what `infisical-iac server create` made at Hetzner Cloud, found by
label with the token in HCLOUD_TOKEN: one server, or with `topology = "swarm"` those of the cluster.

INFISICAL_HOST       ssh_hostname   its name or address
INFISICAL_HOSTS      hosts          those of a cluster, with commas in between
INFISICAL_SSH_USER   ssh_user       the user to log in as, root unless set; others need sudo
INFISICAL_SSH_PORT   ssh_port       the port, 22 unless set
INFISICAL_SSH_KEY    ssh_key        the private key's file; unset, the agent and ~/.ssh are asked
INFISICAL_DATA_VOLUME  data_volume  the device that the data are on, none unless set or found
"""

from pathlib import Path

from infisical_iac.hetzner.production import production_hosts

hetzner = production_hosts(Path(__file__).resolve().parents[1] / "group_data" / "hetzner.py")
