"""The production hosts, named by `group_data/hetzner.py` or by the environment, which overrides it.

If neither names any, they are what `infisical-iac server create` made at Hetzner Cloud, found by
label with the token in HCLOUD_TOKEN: one server, or with `topology = "swarm"` those of the cluster.

INFISICAL_HOST         ssh_hostname  Name or address of the host.
INFISICAL_HOSTS        hosts         Addresses of a cluster's hosts, separated by commas.
INFISICAL_SSH_USER     ssh_user      User to log in as, root unless set. Another one needs sudo, and
                                     hardening then ends the login of root.
INFISICAL_SSH_PORT     ssh_port      Port of SSH, 22 unless set.
INFISICAL_SSH_KEY      ssh_key       File of the private key; unless set, SSH's agent and ~/.ssh.
INFISICAL_DATA_VOLUME  data_volume   Block device of the data, none unless set or found.
"""

from pathlib import Path

from infisical_iac.hetzner.production import production_hosts

hetzner = production_hosts(Path(__file__).resolve().parents[1] / "group_data" / "hetzner.py")
