"""Parse a Compose file of this project: its images and its ingress. Pure."""

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


_INTERNAL = "ALLOW_INTERNAL_IP_CONNECTIONS"
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
    return yaml.safe_dump(document)


def isolate(compose: str) -> str:
    """Return such a file for a version that is not proven: nobody reaches it, it sends no mail.

    It calls no private address either.

    Without a Caddy of the stack, which can be closed, Infisical is at a port of the loopback that
    Docker chooses, and that no proxy knows. Empty if there is nothing to change.
    """
    document: dict[str, Any] = yaml.safe_load(compose)
    infisical = document["services"]["infisical"]
    variables = infisical.get("environment", {})
    mail = [name for name in variables if name.startswith("SMTP_")]
    for name in mail:
        del variables[name]
    calls = variables.get(_INTERNAL) == "true"
    if calls:
        variables[_INTERNAL] = "false"
    if "caddy" in document["services"]:
        return yaml.safe_dump(document) if mail or calls else ""
    infisical["ports"] = ["127.0.0.1::8080"]
    # Traefik finds Infisical by them in the files of earlier releases.
    infisical.pop("labels", None)
    return yaml.safe_dump(document)
