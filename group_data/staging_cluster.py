"""Set what differs from `all.py` on a staging cluster: what `staging.py` says, and small
containers.
"""

import json
import os
import runpy
from pathlib import Path

_root = Path(__file__).resolve().parents[1]
_staging = runpy.run_path(str(Path(__file__).with_name("staging.py")))
globals().update({name: _staging[name] for name in _staging["__all__"]})

# pyinfra reads this file for every inventory, so it must do without a staging cluster too.
_cluster = _root / ".staging" / os.environ.get("STAGING_CLUSTER", "cluster") / "ingress.json"
_ingress = json.loads(_cluster.read_text()) if _cluster.exists() else {}

topology = "swarm"
patroni_image = "staging/patroni:17"
etcd_image = "staging/etcd:3.5"
haproxy_image = "staging/haproxy:3"
# What only a cluster runs is in an archive of its own.
image_archives = tuple(
    str(_root / ".staging" / name) for name in ("images.tar", "cluster-images.tar")
)
# As `python -m tests.staging cluster up --ingress` chose; else it is reached through SSH.
ingress = _ingress.get("ingress", "none")
site_url = _ingress.get("site_url", "http://127.0.0.1:8080")
tls_certificate = _ingress.get("tls_certificate", "")
tls_key = _ingress.get("tls_key", "")
# The kernel that the hosts share lacks ESP.
overlay_encryption = "optional"
firewall = "on"
# It takes half a minute to install, on each host.
fail2ban = "off"
# The hosts share one machine's memory.
_is_real = "infisical_memory_needed" not in _staging["__all__"]
infisical_memory = "1200m" if _is_real else "256m"
infisical_cpus = 1.0
# Three real servers hold some two dozen connections, which took more than 192 MB.
postgres_memory = "512m" if _is_real else "192m"
redis_memory = "64m"

__all__ = [
    *_staging["__all__"],
    "etcd_image",
    "haproxy_image",
    "infisical_cpus",
    "infisical_memory",
    "overlay_encryption",
    "patroni_image",
    "postgres_memory",
    "redis_memory",
    "tls_certificate",
    "tls_key",
    "topology",
]
