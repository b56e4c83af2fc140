"""Tell fail2ban whether somebody has logged in over SSH from an address.

fail2ban asks before a ban, which covers the whole network of an IPv6 address: the operators must
not be banned. It runs the agent as

    agent --has-logged-in <address or IPv6 network>

which succeeds if somebody has logged in with a key within a day, from this address or, with IPv6,
from any address of its /64 network.
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address, IPv6Network

from infisical_iac.agent.runner import Runner

_ACCEPTED = "^Accepted publickey for [^ ]+ from {address} port "
_UNITS = ("_SYSTEMD_UNIT=ssh.service", "+", "_COMM=sshd", "+", "_COMM=sshd-session")
_PREFIX = 64


def main(arguments: Sequence[str]) -> int:
    """Return 0 if somebody has logged in from the address in the arguments, else 1."""
    (address,) = arguments
    return 0 if has_logged_in(Runner(), address) else 1


def has_logged_in(runner: Runner, address: str) -> bool:
    """Return whether somebody has logged in, as the docstring of this module describes."""
    if ":" not in address:
        return bool(_find_logins(runner, re.escape(address), "--lines=1"))
    own = IPv6Network((IPv6Address(address.partition("/")[0]), _PREFIX), strict=False)
    return any(
        _is_in(own, line.split()[5])
        for line in _find_logins(runner, "[0-9a-f]*:[0-9a-f:.]+", "--reverse")
    )


def _find_logins(runner: Runner, address: str, option: str) -> list[str]:
    """Return the lines of the journal on logins from addresses that match an expression."""
    chosen = ["--quiet", "--since=-1d", option, "--output=cat"]
    pattern = f"--grep={_ACCEPTED.format(address=address)}"
    return runner.run(["journalctl", *chosen, pattern, *_UNITS]).text.splitlines()


def _is_in(network: IPv6Network, address: str) -> bool:
    try:
        return IPv6Address(address) in network
    except AddressValueError:
        return False
