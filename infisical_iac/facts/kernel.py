"""Kernel parameters and swap."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class KernelState:
    """`parameters` by name, `swap` devices that would hold memory in clear, and `core_limit`.

    The last is the size of core dumps, in bytes, that systemd allows its services.
    """

    parameters: dict[str, str]
    core_limit: str = ""
    swap: tuple[str, ...] = ()


class Kernel(FactBase[KernelState]):
    """The named sysctl parameters, the core limit and the active swap that is not encrypted.

    Swap on a device-mapper crypt target is encrypted; zram never leaves memory.
    """

    def command(self, parameters: list[str]) -> str:
        return (
            f"sysctl {shlex.join(parameters)} 2>/dev/null | sed 's/ = /=/'; "
            "systemctl show --property=DefaultLimitCORE; "
            "tail -n +2 /proc/swaps | while read -r device rest; do "
            'case "$device" in /dev/zram*) continue ;; esac; '
            'lsblk --inverse --noheadings --output TYPE "$device" 2>/dev/null | grep -q crypt '
            '|| echo "swap $device"; done'
        )

    def process(self, output: list[str]) -> KernelState:
        pairs = (line.split("=", 1) for line in output if "=" in line and line[:5] != "swap ")
        parameters = {key.strip(): value.strip() for key, value in pairs}
        return KernelState(
            core_limit=parameters.pop("DefaultLimitCORE", ""),
            parameters=parameters,
            swap=tuple(line[5:] for line in output if line.startswith("swap ")),
        )

    @staticmethod
    def default() -> KernelState:
        return KernelState({})
