"""Read a Compose file of this project: its images, and how Infisical is reached. Pure."""

from typing import NamedTuple

import yaml

from infisical_iac.core.images import Images
from infisical_iac.stack.ingress_kinds import KINDS


class WayIn(NamedTuple):
    """Hold how Infisical is reached: by which ingress, and its port on loopback."""

    ingress: str
    port: int


def images_of(compose: str) -> Images:
    """The images in the text of a Compose file of this project."""
    services: dict[str, dict[str, str]] = yaml.safe_load(compose)["services"]
    return Images(services["infisical"]["image"], services["postgres"]["image"])


def port_of(compose: str) -> int:
    """The port of the host's loopback that such a file, or stack.yaml, publishes the API on."""
    services = yaml.safe_load(compose)["services"]
    (published,) = services["haproxy" if "haproxy" in services else "infisical"]["ports"]
    if isinstance(published, dict):
        return int(published["published"])
    return int(published.split(":")[-2])


def way_in(compose: str) -> WayIn:
    """The ingress that such a file was made for, `unknown` if no kind takes it for its own."""
    services: dict[str, dict[str, object]] = yaml.safe_load(compose)["services"]
    names = filter(None, (each.describe(services) for each in KINDS.values()))
    return WayIn(next(names, "unknown"), port_of(compose))
