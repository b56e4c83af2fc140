"""Kernel parameters and swap."""

import shlex
from dataclasses import dataclass

from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class KernelState:
    """`parameters` by name, and the `swap` devices that would hold memory in clear."""

    parameters: dict[str, str]
    swap: tuple[str, ...] = ()


class Kernel(FactBase[KernelState]):
    """The named sysctl parameters and the active swap devices that are not encrypted.

    Swap on a device-mapper crypt target is encrypted; zram never leaves memory.
    """

    def command(self, parameters: list[str]) -> str:
        return (
            f"sysctl {shlex.join(parameters)} 2>/dev/null | sed 's/ = /=/'; "
            "tail -n +2 /proc/swaps | while read -r device rest; do "
            'case "$device" in /dev/zram*) continue ;; esac; '
            'test "$(lsblk -no TYPE "$device" 2>/dev/null | head -n 1)" = crypt '
            '|| echo "swap $device"; done'
        )

    def process(self, output: list[str]) -> KernelState:
        pairs = (line.split("=", 1) for line in output if "=" in line and line[:5] != "swap ")
        return KernelState(
            parameters={key.strip(): value.strip() for key, value in pairs},
            swap=tuple(line[5:] for line in output if line.startswith("swap ")),
        )

    @staticmethod
    def default() -> KernelState:
        return KernelState({})
