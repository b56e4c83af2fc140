"""Read what runs or ran last, and how changes of version went."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pyinfra.api.facts import FactBase

from infisical_iac.change.path import Images
from infisical_iac.core.rendering import script


class Failed(NamedTuple):
    """A change of version that failed: the release that it was made from, and when."""

    release: str
    at: str


@dataclass(frozen=True)
class UpgradeState:
    """Hold what a change of version has to do with.

    Attributes:
        was: the images that the data were used with last; None where there are no data.
        same_bytes: whether the wanted image of Infisical is what runs, by whatever name.
        failed: by the image that it was to, the last change that failed.
    """

    was: Images | None = None
    same_bytes: bool = False
    failed: Mapping[str, Failed] = field(default_factory=dict)


class Upgrades(FactBase[UpgradeState]):
    """The UpgradeState; `wanted` is the reference of the image of Infisical that is wanted."""

    def command(self, wanted: str) -> str:
        return script("releases", "look", wanted)

    def process(self, output: list[str]) -> UpgradeState:
        wanted = ""
        images: dict[str, str] = {}
        ids: dict[str, str] = {}
        failed: dict[str, Failed] = {}
        for line in output:
            match line.split():
                case ["image", service, reference, *id]:
                    images[service], ids[service] = reference, "".join(id)
                case ["wanted", id_]:
                    wanted = id_
                case ["failed", release, at, image]:
                    failed[image] = Failed(release, at)
        known = "database" in output and images.keys() >= {"infisical", "postgres"}
        was = Images(images["infisical"], images["postgres"]) if known else None
        return UpgradeState(was, bool(wanted) and wanted == ids.get("infisical"), failed)

    @staticmethod
    def default() -> UpgradeState:
        return UpgradeState()
