"""The production server, found by its label."""

from collections.abc import Sequence
from typing import Any

from hcloud.servers import BoundServer

from infisical_iac.hetzner import api
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.have import server_address, servers


def production(name: str) -> dict[str, Any]:
    """Where the server is, as pyinfra's data have it, and where its data volume is.

    Args:
        name: which one, where there are several; the setting server_name if that is set.

    Raises HetznerError where there is none, or none that can be told from others.
    """
    client = api.client()
    server = only(servers(client), name)
    data = {"ssh_hostname": server_address(server)}
    with told("look at the server's volume"):
        for volume in server.volumes or []:
            if api.is_ours(volume.labels):
                data["data_volume"] = str(volume.linux_device)
    return data


def only(found: Sequence[BoundServer], name: str) -> BoundServer:
    """The one that is meant."""
    if not found:
        raise HetznerError(
            f"no server at Hetzner Cloud has the label {api.SELECTOR}: make one by `infisical-iac "
            "server create`, or set INFISICAL_HOST"
        )
    named = [each for each in found if each.name == name]
    if len(found) > 1 and not named:
        names = ", ".join(sorted(str(each.name) for each in found))
        raise HetznerError(
            f"{len(found)} servers at Hetzner Cloud have the label {api.SELECTOR} ({names}): set "
            "server_name to the one that is meant, or INFISICAL_HOST"
        )
    return named[0] if named else found[0]
