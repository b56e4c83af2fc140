"""Read what is there of the way in, read in one command."""

from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.core.rendering import script
from infisical_iac.facts.files import Paths, PathState

STOPPED = "stopped"
_REVISION = "revision "
_PEM = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class IngressState:
    """Hold what is there.

    Attributes:
        files: those asked for that exist, by path.
        revision: the one that Caddy runs with; `none` if it tells none, `stopped` if it does not
            run.
        certificate: what is served, in PEM; empty for none.
    """

    files: dict[str, PathState] = field(default_factory=dict)
    revision: str = STOPPED
    certificate: str = ""


class Ingress(FactBase[IngressState]):
    """The IngressState, of files at `paths`, and of what is served for `site` at `port`."""

    def command(self, paths: list[str], site: str, port: int) -> str:
        return f"{Paths().command(paths)}; {script('ingress', 'look', site, str(port))}; true"

    def process(self, output: list[str]) -> IngressState:
        at = next(number for number, line in enumerate(output) if line.startswith(_REVISION))
        pem = output[at + 1 :]
        return IngressState(
            Paths().process(output[:at]),
            output[at].removeprefix(_REVISION).strip(),
            "\n".join([*pem, ""]) if _PEM in pem else "",
        )

    @staticmethod
    def default() -> IngressState:
        return IngressState()
