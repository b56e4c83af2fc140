"""The settings that say which images the stack is of, checked as all others are."""

import re

from pydantic import ValidationInfo, field_validator

from infisical_iac.cluster.settings import ClusterSettings
from infisical_iac.ingress.settings import IngressSettings

_NAME = r"([a-z0-9.-]+:\d+/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
_PINNED = {
    "postgres_image": "postgres:17.11",
    "redis_image": "redis:8.2.3",
    "caddy_image": "caddy:2.10.2",
    "patroni_image": "ghcr.io/zalando/spilo-17:4.0-p3",
    "etcd_image": "gcr.io/etcd-development/etcd:v3.5.21",
    "haproxy_image": "haproxy:3.2.25",
}
_IMAGE = rf"{_NAME}:[A-Za-z0-9._-]+(@sha256:[0-9a-f]{{64}})?"


class ImageSettings(ClusterSettings, IngressSettings):
    """The images, of which topology and ingress choose, and how many releases are kept."""

    infisical_image: str
    infisical_version: str
    infisical_digest: str
    postgres_image: str
    redis_image: str
    caddy_image: str
    image_archives: tuple[str, ...]
    keep_releases: int

    @field_validator("infisical_version")
    @classmethod
    def _version_is_pinned(cls, value: str) -> str:
        if value.startswith("latest"):
            raise ValueError(f"{value!r} changes under your feet; pin a release such as v0.165.16")
        if value.endswith("-postgres"):
            raise ValueError(
                f"{value!r} has the suffix that releases lost with v0.147.0; "
                f"write {value.removesuffix('-postgres')!r}"
            )
        if not re.fullmatch(r"v\d+\.\d+\.\d+(-[a-z0-9.-]+)?", value):
            raise ValueError(f"{value!r} is no release; write one such as v0.165.16")
        return value

    @field_validator("infisical_digest")
    @classmethod
    def _digest_is_complete(cls, value: str) -> str:
        if value and not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
            raise ValueError("must be sha256: and 64 hexadecimal digits, or empty")
        return value

    @field_validator("infisical_image")
    @classmethod
    def _image_has_no_tag(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value):
            raise ValueError(
                f"{value!r} is no image's name; write one such as infisical/infisical, "
                "and its tag in infisical_version"
            )
        return value

    @field_validator(*_PINNED)
    @classmethod
    def _image_is_pinned(cls, value: str, info: ValidationInfo) -> str:
        if not re.match(r"v?\d", _tag(value)) or not re.fullmatch(_IMAGE, value):
            example = _PINNED[str(info.field_name)]
            raise ValueError(f"{value!r} names no version; write one such as {example}")
        return value

    @field_validator("keep_releases")
    @classmethod
    def _one_release_is_kept(cls, value: int) -> int:
        if value < 1:
            raise ValueError(f"{value} leaves nothing to go back to; keep at least 1")
        return value

    @property
    def infisical_reference(self) -> str:
        """The Infisical image as Docker names it, with its digest where one is set."""
        digest = f"@{self.infisical_digest}" if self.infisical_digest else ""
        return f"{self.infisical_image}:{self.infisical_version}{digest}"

    @property
    def postgres_major(self) -> int:
        """The major version of PostgreSQL, which decides where its data are."""
        return int(re.split(r"\D", _tag(self.postgres_image), maxsplit=1)[0])

    @property
    def services(self) -> dict[str, str]:
        """The services of the stack, each with the reference of its image.

        Of a cluster, those of the same name but for a number go by the name alone.
        """
        if self.topology == "swarm":
            databases = {
                "postgres": self.patroni_image,
                "redis": self.redis_image,
                "etcd": self.etcd_image,
                "haproxy": self.haproxy_image,
            }
        else:
            databases = {"postgres": self.postgres_image, "redis": self.redis_image}
        return {
            "infisical": self.infisical_reference,
            **databases,
            **({"caddy": self.caddy_image} if self.ingress == "caddy" else {}),
        }

    @property
    def images(self) -> tuple[str, ...]:
        """The references of all images that the stack and drills run, Infisical's the first."""
        return tuple(dict.fromkeys((*self.services.values(), self.postgres_image)))


def _tag(image: str) -> str:
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]
