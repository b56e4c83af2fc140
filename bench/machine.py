"""Describe the machine of a measurement, without its name."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

_GIB = 1024**3


def machine(**versions: str) -> dict[str, str]:
    """Return the properties of this machine by name, with the `versions` of compared programs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "CPU": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / _GIB:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "pyinfra": version("pyinfra"),
        **versions,
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"(?m)^model name\s*: (.+)$", file.read_text() if file.exists() else "")
    return found[1] if found else platform.machine()
