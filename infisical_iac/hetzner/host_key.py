"""The SSH host key that a new server gets, so that the first connection to it is verified.

It travels in the server's user data, which Hetzner Cloud keeps and the server can read as long as
it lives. So it serves for the first connections alone: over them the server makes a key of its
own, which nobody else has ever had.
"""

import json
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


class HostKey(NamedTuple):
    """A pair of keys as OpenSSH writes them; `private` is kept nowhere."""

    private: str
    public: str


def made() -> HostKey:
    """A new pair, of Ed25519."""
    key = Ed25519PrivateKey.generate()
    return HostKey(
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


def user_data(key: HostKey, *, ssh_port: int) -> str:
    """What cloud-init is told: the server's host key, and where sshd listens."""
    told: dict[str, object] = {
        # With a key given, cloud-init makes none of other kinds.
        "ssh_keys": {"ed25519_private": key.private, "ed25519_public": key.public},
        "ssh_deletekeys": True,
        "ssh_pwauth": False,
        "disable_root": False,
    }
    if ssh_port != 22:
        path = "/etc/ssh/sshd_config.d/10-port.conf"
        told["write_files"] = [{"path": path, "content": f"Port {ssh_port}\n"}]
    # JSON is YAML too, and quotes whatever there is.
    return f"#cloud-config\n{json.dumps(told, indent=1)}\n"
