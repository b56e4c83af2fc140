"""Parse a Compose file of this project: its images and its ingress. Pure."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from infisical_iac.core.images import Images
from infisical_iac.stack.ingress_kinds import KINDS


class IngressAndPort(NamedTuple):
    """The kind of ingress, and Infisical's port on the loopback."""

    ingress: str
    port: int


def images_of(compose: str) -> Images:
    """Return the images in the text of a Compose file of this project."""
    services: dict[str, dict[str, str]] = yaml.safe_load(compose)["services"]
    return Images(services["infisical"]["image"], services["postgres"]["image"])


def port_of(compose: str) -> int:
    """Return the loopback port on which such a file, or stack.yaml, publishes the API."""
    services = yaml.safe_load(compose)["services"]
    (published,) = services["haproxy" if "haproxy" in services else "infisical"]["ports"]
    if isinstance(published, dict):
        return int(published["published"])
    return int(published.split(":")[-2])


def ingress_of(compose: str) -> IngressAndPort:
    """Return the ingress of such a file, `unknown` if no kind recognises it."""
    services: dict[str, dict[str, object]] = yaml.safe_load(compose)["services"]
    names = filter(None, (each.describe(services) for each in KINDS.values()))
    return IngressAndPort(next(names, "unknown"), port_of(compose))


# The variables of Infisical that belong to a release; all others follow from the settings of today.
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
    document: dict[str, Any] = yaml.safe_load(compose)
    infisical = document["services"]["infisical"]
    current = yaml.safe_load(deployed)["services"]["infisical"]
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
    return text if yaml.safe_load(text) == document else yaml.safe_dump(document)


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


# Emptied by scripts/change/upgrade.sh.
_REDIS_DATABASE = 1


def isolate(compose: str) -> str:
    """Return such a file for a version that is not proven: Infisical reaches only its databases.

    Nothing else reaches it, except for the host, by the address of its container. It has a database
    of its own in Redis: jobs that wait would fail without a way out, and a later version removes
    some at its start.
    """
    document: dict[str, Any] = yaml.safe_load(compose)
    services, networks = document["services"], document.get("networks") or {}
    infisical = services["infisical"]
    databases = _networks_of(services["postgres"]) | _networks_of(services.get("redis", {}))
    kept = sorted(_networks_of(infisical) & databases)
    infisical["networks"] = kept
    # They are internal already, except in a template of the user's.
    internal = {name: {**(networks.get(name) or {}), "internal": True} for name in kept}
    document["networks"] = {**networks, **internal}
    # Traefik finds Infisical by its labels in the files of earlier releases.
    for each in ("ports", "labels"):
        infisical.pop(each, None)
    variables = infisical.get("environment", {})
    if url := variables.get("REDIS_URL"):
        variables["REDIS_URL"] = re.sub(r"(@[^@/]+)(/\d*)?$", rf"\1/{_REDIS_DATABASE}", url)
    return yaml.safe_dump(document)


def _networks_of(service: Mapping[str, Any]) -> set[str]:
    return set(service.get("networks") or ["default"])
