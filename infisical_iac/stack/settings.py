"""The settings of the containers, their images and known digests, the way in, the access log."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, field_validator, model_validator

from infisical_iac.core.images import Images
from infisical_iac.core.validation import (
    EMAIL,
    IMAGE_NAME,
    Memory,
    Positive,
    Seconds,
    SettingsModel,
    at_least,
    matching,
    mebibytes,
    network,
    pinned,
    within,
)
from infisical_iac.stack.ingress_kinds import (
    DIRECTORIES,
    INTERNAL,
    KINDS,
    IngressKind,
    IngressName,
)

_DIRECTORY = r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?"

_PINNED = (
    *("postgres_image", "redis_image", "caddy_image"),
    *("patroni_image", "etcd_image", "haproxy_image"),
)
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

_Networks = Annotated[tuple[str, ...], AfterValidator(lambda value: tuple(map(network, value)))]
_TraefikName = Annotated[
    str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", "is no name; write the one that Traefik has")
]


class StackSettings(SettingsModel):
    """Set what runs, with how much, what stands between it and the outside, and for whom."""

    site_url: str
    http_port: Annotated[int, within(1024, 65535, "choose a port from 1024 to 65535")]
    start_timeout: Seconds
    trusted_proxy_cidrs: tuple[str, ...]

    infisical_image: Annotated[
        str,
        matching(
            IMAGE_NAME,
            "is no image's name; write one such as infisical/infisical, and its tag in "
            "infisical_version",
        ),
    ]
    infisical_version: str
    infisical_digest: str
    postgres_image: Annotated[str, pinned("postgres:17.11")]
    redis_image: Annotated[str, pinned("redis:8.2.10")]
    caddy_image: Annotated[str, pinned("caddy:2.11.7")]
    image_archives: tuple[str, ...]
    keep_releases: Annotated[int, at_least(1, "leaves nothing to go back to; keep at least 1")]

    infisical_memory: Memory
    infisical_memory_needed: Memory
    infisical_cpus: Positive
    infisical_read_only: bool
    postgres_memory: Memory
    redis_memory: Memory

    ingress: IngressName
    acme_email: Annotated[
        str, matching(f"({EMAIL})?", "is no e-mail address; write one, or leave it empty")
    ]
    acme_ca: Annotated[
        str,
        matching(
            rf"{'|'.join(DIRECTORIES)}|{INTERNAL}|{_DIRECTORY}",
            f"is no authority; write {', '.join(DIRECTORIES)}, {INTERNAL}, or the https address "
            "of an ACME directory",
        ),
    ]
    tls_certificate: str
    tls_key: str
    ui_networks: _Networks
    machine_networks: _Networks
    traefik_network: _TraefikName
    traefik_entrypoint: _TraefikName
    traefik_resolver: _TraefikName

    access_log_keep_days: Annotated[int, within(1, 3650, "choose 1 to 3650 days")]
    access_log_max_mb: Annotated[
        int, at_least(50, "leaves no trail; give it at least 50 megabytes")
    ]

    @field_validator("site_url")
    @classmethod
    def _site_url_is_absolute(cls, value: str) -> str:
        match = re.fullmatch(r"https?://([A-Za-z0-9.-]+)(:\d{1,5})?(?P<rest>[/?#].*)?", value)
        if not match:
            raise ValueError(f"{value!r} is no absolute address; write https://secrets.example.com")
        if match["rest"] not in (None, "/"):
            raise ValueError(f"{value!r} has more than scheme, host and port; write only those")
        return value.rstrip("/")

    @field_validator("trusted_proxy_cidrs")
    @classmethod
    def _networks_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            network(each)
        return value

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

    @model_validator(mode="after")
    def _infisical_has_the_memory_that_it_needs(self) -> Self:
        if mebibytes(self.infisical_memory) < mebibytes(self.infisical_memory_needed):
            raise ValueError(
                f"infisical_memory is {self.infisical_memory}, and this release ends again and "
                f"again with less than {self.infisical_memory_needed}: give it at least that"
            )
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            given, missing = ("tls_certificate", "tls_key")
            if self.tls_key:
                given, missing = missing, given
            raise ValueError(f"{given} is set without {missing}; set both, or neither")
        return self

    @property
    def ingress_kind(self) -> type[IngressKind]:
        """The kind of ingress."""
        return KINDS[self.ingress]

    @property
    def runs_caddy(self) -> bool:
        """Return whether all that reaches Infisical from outside comes by a Caddy of the stack."""
        return self.ingress_kind.runs_caddy

    @property
    def infisical_reference(self) -> str:
        """The Infisical image as Docker names it, with its digest where one is set."""
        digest = f"@{self.infisical_digest}" if self.infisical_digest else ""
        return f"{self.infisical_image}:{self.infisical_version}{digest}"

    @property
    def postgres_major(self) -> int:
        """The major version of PostgreSQL, which decides where its data are."""
        return Images("", self.postgres_image).major


def with_known_digests(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of settings with the digests of those images that have a known one.

    Docker knows the images of an archive by their tags: with `image_archives`, the archive itself
    is what is pinned.
    """
    if values.get("image_archives"):
        return dict(values)
    name = f"{values.get('infisical_image')}:{values.get('infisical_version')}"
    digest = values.get("infisical_digest") or DIGESTS.get(name)
    references = {key: values[key] for key in _PINNED if isinstance(values.get(key), str)}
    return {
        **values,
        **{key: with_digest(reference) for key, reference in references.items()},
        **({"infisical_digest": digest} if digest else {}),
    }


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
