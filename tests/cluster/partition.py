"""Cut a staging host off from the others like a broken switch: silently, both ways.

The rule is in the bridge of this machine, so that the hosts do not see it, and a reboot of a host
does not remove it. This machine still reaches the host.
"""

from tests.staging.host import StagingHost
from tests.staging.shell import StagingError, run

_RULES = """
table bridge {table} {{
  chain forward {{
    type filter hook forward priority 0;
    ip saddr {address} drop
    ip daddr {address} drop
  }}
}}
"""


def cut(host: StagingHost) -> None:
    """Drop every packet between the host and the others, until `heal`."""
    if not host.place:
        raise StagingError(f"staging host {host.name!r} is in no cluster's network")
    heal(host)
    run("nft", "-f", "-", input=_RULES.format(table=_table(host), address=host.place[1]))


def heal(host: StagingHost) -> None:
    """Let the packets of the host pass again; do nothing if the host isn't cut off."""
    run("nft", "delete", "table", "bridge", _table(host), check=False)


def _table(host: StagingHost) -> str:
    return f"{host.container}-cut"
