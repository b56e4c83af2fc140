"""The settings of the images: their names, versions and digests."""

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationInfo, field_validator, model_validator

from infisical_iac.cluster.settings import ClusterSettings
from infisical_iac.core.images import Images, tag_of
from infisical_iac.stack.settings import IngressSettings

_NAME = r"([a-z0-9.-]+:\d+/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
_PINNED = {
    "postgres_image": "postgres:17.11",
    "redis_image": "redis:8.2.10",
    "caddy_image": "caddy:2.11.7",
    "patroni_image": "ghcr.io/zalando/spilo-17:4.0-p3",
    "etcd_image": "gcr.io/etcd-development/etcd:v3.5.21",
    "haproxy_image": "haproxy:3.2.25",
}
# What the registries serve by these names, as indexes of all platforms: at least two other public
# projects that pin the same release name each of them (read in November 2026). A release that is
# not named here is pinned by its tag, unless the settings give its digest. Those of releases that
# were the default stay: hosts, kept releases and recovery kits name them.
DIGESTS = {
    "infisical/infisical:v0.165.16": (
        "sha256:6b911e3938ac2ff385a782df59ce9272799be7976d26dc5667266a2aecac4116"
    ),
    "postgres:17.11": "sha256:67f41722b7a8cbdb868a44a4995c846eddfdc2973bccb291ce937dce88ad5675",
    "redis:8.2.10": "sha256:164c759a0c342ee69d08fc99219382b0fd682181465c0df2e0e6911f4c85d73c",
    "caddy:2.11.7": "sha256:f2a1290d0463aad60660d4ec134943f183ee2a5f6c3eb7bf32dd984f2f020772",
    "redis:8.2.3": "sha256:0908d9af26bf9b985e984a40a5eb82eed229b07a3317eee6843832c3cc3a9619",
    "caddy:2.10.2": "sha256:c3d7ee5d2b11f9dc54f947f68a734c84e9c9666c92c88a7f30b9cba5da182adb",
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

    @model_validator(mode="before")
    @classmethod
    def _known_digests_are_pinned(cls, data: Any) -> Any:
        # Docker knows the images of an archive by their tags: the archive itself is what is pinned.
        if not isinstance(data, Mapping) or data.get("image_archives"):
            return data
        name = f"{data.get('infisical_image')}:{data.get('infisical_version')}"
        digest = data.get("infisical_digest") or DIGESTS.get(name)
        return {
            **data,
            **{key: with_digest(str(data[key])) for key in _PINNED if key in data},
            **({"infisical_digest": digest} if digest else {}),
        }

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
    def _image_has_notag_of(cls, value: str) -> str:
        if not re.fullmatch(_NAME, value):
            raise ValueError(
                f"{value!r} is no image's name; write one such as infisical/infisical, "
                "and its tag in infisical_version"
            )
        return value

    @field_validator(*_PINNED)
    @classmethod
    def _image_is_pinned(cls, value: str, info: ValidationInfo) -> str:
        if not re.match(r"v?\d", tag_of(value)) or not re.fullmatch(_IMAGE, value):
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

    def with_infisical(self, reference: str) -> Self:
        """Return the settings with another image of Infisical, by its whole reference."""
        name, _, digest = reference.partition("@")
        image, _, version = name.rpartition(":")
        update = {"infisical_image": image, "infisical_version": version}
        return self.model_copy(update={**update, "infisical_digest": digest})

    def keeping(self, was: Images) -> Self:
        """Return the settings without the change of version from the images that run."""
        kept = self.with_infisical(was.infisical)
        key = "patroni_image" if self.topology == "swarm" else "postgres_image"
        if Images("", getattr(self, key)).major == was.major:
            return kept
        return kept.model_copy(update={key: was.postgres})

    @property
    def postgres_major(self) -> int:
        """The major version of PostgreSQL, which decides where its data are."""
        return int(re.split(r"\D", tag_of(self.postgres_image), maxsplit=1)[0])

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
            **({"caddy": self.caddy_image} if self.runs_caddy else {}),
        }

    @property
    def images(self) -> tuple[str, ...]:
        """The references of all images that the stack and drills run, Infisical's the first."""
        return tuple(dict.fromkeys((*self.services.values(), self.postgres_image)))


def with_digest(reference: str) -> str:
    """Return the reference with the digest of that release, where it is known and not given."""
    digest = DIGESTS.get(reference)
    return f"{reference}@{digest}" if digest else reference


def named(reference: str) -> str:
    """Return the image's name and tag alone, for people."""
    return reference.partition("@")[0]


def without_known_digest(reference: str) -> str:
    """Return the reference as settings need to have it: without a digest that they get anyway."""
    name, _, digest = reference.partition("@")
    return name if DIGESTS.get(name) == digest else reference
