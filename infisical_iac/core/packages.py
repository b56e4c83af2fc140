"""Read which packages are installed."""

import shlex

from pyinfra.api.facts import FactBase


class Packages(FactBase[frozenset[str]]):
    """Those of `names` that dpkg has installed and configured, held ones among them."""

    def command(self, names: list[str]) -> str:
        query = "dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\\n'"
        return f"{query} {shlex.join(names)} 2>/dev/null || true"

    def process(self, output: list[str]) -> frozenset[str]:
        fields = (line.split() for line in output)
        return frozenset(name for status, name in fields if status in ("ii", "hi"))

    @staticmethod
    def default() -> frozenset[str]:
        return frozenset()
