"""Parse a Compose file of this project, and describe data that were given up. Pure.

Data are given up when the rollback of a change, restore or migration brings earlier data back.
"""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, NamedTuple

import yaml

from infisical_iac.agent.data import GivenUp, given_up_of
from infisical_iac.core.images import Images
from infisical_iac.stack.ingress_kinds import KINDS

# The deployer's credentials on the host.


class IngressAndPort(NamedTuple):
    """The kind of ingress, and Infisical's port on the loopback."""

    ingress: str
    port: int


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_compose(text: str) -> dict[str, Any]:
    """Return what the text of a Compose file or stack.yaml says; the caller may change it."""
    return deepcopy(_parse_compose(text))


@lru_cache(maxsize=8)
def _parse_compose(text: str) -> dict[str, Any]:
    # A run reads the same few texts many times, and parsing one takes up to 70 ms.
    found: dict[str, Any] = yaml.load(text, _Loader)
    return found


def images_of(compose: str) -> Images:
    """Return the images in the text of a Compose file of this project."""
    services: dict[str, dict[str, str]] = parse_compose(compose)["services"]
    return Images(services["infisical"]["image"], services["postgres"]["image"])


def port_of(compose: str) -> int:
    """Return the loopback port on which such a file, or stack.yaml, publishes the API."""
    services = parse_compose(compose)["services"]
    (published,) = services["haproxy" if "haproxy" in services else "infisical"]["ports"]
    if isinstance(published, dict):
        return int(published["published"])
    return int(published.split(":")[-2])


def ingress_of(compose: str) -> IngressAndPort:
    """Return the ingress of such a file, `unknown` if no kind recognises it."""
    services: dict[str, dict[str, object]] = parse_compose(compose)["services"]
    names = filter(None, (each.describe(services) for each in KINDS.values()))
    return IngressAndPort(next(names, "unknown"), port_of(compose))


# The variables of Infisical that belong to a release; all others follow from the current settings.
_OF_RELEASE = frozenset(
    (
        *("NODE_ENV", "ENCRYPTION_KEY", "AUTH_SECRET", "DB_CONNECTION_URI", "REDIS_URL"),
        *("SITE_URL", "HTTPS_ENABLED", "CORS_ALLOWED_ORIGINS", "TRUSTED_PROXY_CIDRS"),
        "NODE_OPTIONS",
    )
)


def with_own_settings(compose: str, deployed: str) -> str:
    """Return the file of an earlier release with Infisical's own settings from the deployed file.

    The firewall, the secrets and the authorities on the host belong to the deployed file.
    """
    document: dict[str, Any] = parse_compose(compose)
    infisical = document["services"]["infisical"]
    current = parse_compose(deployed)["services"]["infisical"]
    there, volumes = infisical["environment"], current.get("volumes")
    kept = {name: value for name, value in there.items() if name in _OF_RELEASE}
    own = {name: each for name, each in current["environment"].items() if name not in _OF_RELEASE}
    if {**kept, **own} == there and volumes == infisical.get("volumes"):
        return compose
    infisical["environment"] = {**kept, **own}
    infisical.pop("volumes", None)
    if volumes:
        infisical["volumes"] = volumes
    # Plans compare texts, so lines are replaced where both files are the template's.
    text = _take_lines(compose, deployed)
    return text if parse_compose(text) == document else yaml.safe_dump(document)


_ENVIRONMENT = re.compile(r"(?<=^    environment:\n)(?:      .*\n)+", re.MULTILINE)
_VOLUMES = re.compile(r"(?:^    #.*\n)?^    volumes: .*\n(?=    tmpfs:)", re.MULTILINE)


def _take_lines(compose: str, deployed: str) -> str:
    """Return the template's text `compose` with the lines of own settings from `deployed`."""
    there, own = _ENVIRONMENT.search(compose), _ENVIRONMENT.search(deployed)
    if there is None or own is None:
        return compose
    of_release = {line.partition(":")[0].strip(): line for line in there[0].splitlines(True)}
    lines = []
    for line in own[0].splitlines(True):
        name = line.partition(":")[0].strip()
        lines.append(of_release.get(name, line) if name in _OF_RELEASE else line)
    text = f"{compose[: there.start()]}{''.join(lines)}{compose[there.end() :]}"
    volumes = _VOLUMES.search(deployed)
    text = _VOLUMES.sub("", text, count=1)
    return text.replace("    tmpfs:", f"{volumes[0] if volumes else ''}    tmpfs:", 1)


def isolate(compose: str) -> str:
    """Return such a file for a copy in which a version is checked, next to the live instance.

    Infisical reaches only its databases, and only the host reaches it, by the address of its
    container. The live instance takes precedence for the processor, and when memory runs short.
    """
    document: dict[str, Any] = parse_compose(compose)
    services, networks = document["services"], document.get("networks") or {}
    infisical = services["infisical"]
    databases = _networks_of(services["postgres"]) | _networks_of(services.get("redis", {}))
    kept = sorted(_networks_of(infisical) & databases)
    infisical["networks"] = kept
    # They are internal already, except in a template of the user's.
    internal = {name: {**(networks.get(name) or {}), "internal": True} for name in kept}
    document["networks"] = {**networks, **internal}
    # Traefik finds Infisical by its labels in the files of earlier releases.
    for name in ("ports", "labels"):
        infisical.pop(name, None)
    for each in services.values():
        each.update(_OF_A_COPY)
    return yaml.safe_dump(document)


_OF_A_COPY = {"restart": "no", "cpu_shares": 64, "oom_score_adj": 900}


def _networks_of(service: Mapping[str, Any]) -> set[str]:
    return set(service.get("networks") or ["default"])


GIVEN_UP_HELP = '`infisical-iac docs upgrade`, "Data that were given up", says how to read them'


def parse_given_up(lines: Iterable[str]) -> list[GivenUp]:
    """Parse a script's lines `given-up <name> <since> <writes> <images>`."""
    found = []
    for line in lines:
        match line.split():
            case ["given-up", name]:
                found.append(GivenUp(name))
            case ["given-up", name, since, writes, *images]:
                found.append(given_up_of(name, since, writes, *images))
    return found


def describe_given_up(found: Iterable[GivenUp], then: str = "") -> str:
    """Return the end of a clause on the data that the earlier version serves again."""
    described = "; ".join(each.describe() for each in found)
    return f"with all data{then}" + (f"; {described} ({GIVEN_UP_HELP})" if described else "")


def describe_kept_data(found: Iterable[GivenUp]) -> list[str]:
    """Return sentences on the place of given up data, after a rollback."""
    return [f"Kept: {each.describe()}; {GIVEN_UP_HELP}." for each in found]


def given_up_after_proof(removed: Iterable[str], kept: Iterable[GivenUp]) -> list[str]:
    """Return sentences on earlier given up data that a proven change removed, by name, or kept."""
    return [
        *(f"Removed {name}: its data were given up, and had no writes." for name in removed),
        *(f"Kept until you remove the data: {each.describe()}." for each in kept),
    ]


def parse_after_proof(lines: Iterable[str]) -> tuple[list[str], list[GivenUp]]:
    """Parse a script's lines on given up data into the arguments of `given_up_after_proof`."""
    listed = list(lines)
    gone = [line.split()[1] for line in listed if line.startswith("removed ")]
    return gone, parse_given_up(listed)
