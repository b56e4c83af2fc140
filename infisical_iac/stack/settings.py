"""Define the settings of containers, images with known digests, ingress and access log."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from infisical_iac.core.images import DIGEST, Images
from infisical_iac.core.validation import (
    EMAIL,
    IMAGE_NAME,
    NETWORKS,
    Memory,
    Positive,
    Rule,
    Seconds,
    SettingsModel,
    at_least,
    image_with_version,
    matching,
    mebibytes,
    network,
    within,
)
from infisical_iac.stack.ingress_kinds import (
    DIRECTORIES,
    INTERNAL,
    KINDS,
    IngressKind,
    IngressName,
)
from infisical_iac.stack.registry_login import RegistryLogin

_DIRECTORY = r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?"

_PINNED = (
    *("postgres_image", "redis_image", "caddy_image"),
    *("patroni_image", "etcd_image", "haproxy_image"),
)
# The digests of these images, as indexes of all platforms. At least two other public projects that
# pin the same release agree on each (read in November 2026). A release without a digest here is
# pinned by its tag, unless the settings give its digest. Digests of earlier defaults stay, because
# hosts, kept releases and recovery kits name them.
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

_Networks = Annotated[tuple[str, ...], Rule(lambda value: tuple(map(network, value)), NETWORKS)]
_TraefikName = Annotated[
    str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", "is not a name; write the one that Traefik has")
]


class StackSettings(SettingsModel):
    """Containers, images, ingress and access log.

    No run upgrades an image by itself: read the vendors' security advisories now and then, and set
    a newer release. A digest makes Docker accept exactly those bytes:

        # `docker buildx imagetools inspect redis:8.2.10` prints the digest.
        redis_image = "redis:8.2.10@sha256:…"

    An image without a digest gets the known one of its release. `DIGESTS` in
    `infisical_iac/stack/settings.py` lists those on which at least two other public projects agree.
    """

    site_url: str
    """Address at which people and services reach Infisical: scheme, host and port, no path.

    Change: let the DNS name lead to the host first. The next `apply` gets a certificate for the new
    name and re-creates the Infisical container. Then set `domain` in each service's
    `.infisical.json`.
    """

    http_port: Annotated[int, within(1024, 65535, "choose a port from 1024 to 65535")]
    """Port on the host's loopback address at which Infisical answers; nothing else is published. On
    a cluster it is open on all addresses of each node, behind the firewall.

    Change: the next `apply` re-creates the Infisical container.
    """

    start_timeout: Seconds
    """Seconds to wait until the containers are healthy. Give more for a large database, which a new
    release migrates while it starts.

    Change: the next `apply` re-creates the Infisical container of a single host, as its health
    check has the value.
    """

    trusted_proxy_cidrs: tuple[str, ...]
    """Proxies that Infisical believes in `X-Forwarded-For`. The default is a proxy on the host,
    through Docker's bridges.

    Change: the next `apply` re-creates the Infisical container.
    """

    infisical_image: Annotated[
        str,
        matching(
            IMAGE_NAME,
            "is not an image name; write one such as infisical/infisical, and its tag in "
            "infisical_version",
        ),
    ]
    """Name of Infisical's image, without a tag.

    Change: another image runs the [upgrade procedure](../operate/upgrade.md), unless it has the
    same bytes.
    """

    infisical_version: str
    """Release of Infisical, pinned; never `latest`. A digest after it, as in
    `v0.165.16@sha256:…`, counts as `infisical_digest`, and can't be forgotten with a new release.

    Change: the next `apply` runs the [upgrade procedure](../operate/upgrade.md). An older release
    than the one that runs is refused: use `infisical-iac rollback`.
    """

    infisical_digest: str
    """Digest of Infisical's image, as `sha256:` and 64 hexadecimal digits; Docker accepts no other
    bytes. Empty: the digest of the release, where it is known.

    Change: together with `infisical_version`. A change of the digest only runs the upgrade
    procedure too, unless the bytes are the same.
    """

    postgres_image: Annotated[str, image_with_version("postgres:17.11")]
    """Image of PostgreSQL on a single host, and of drills.

    Change: a minor version re-creates the container. A newer major version runs the [upgrade
    procedure](../operate/upgrade.md) by dump and restore; an older one is refused.
    """

    redis_image: Annotated[str, image_with_version("redis:8.2.10")]
    """Image of Redis. Releases before 8.2.8 let anyone with the password, which only the stack has,
    run code.

    Change: the next `apply` re-creates the container. Waiting jobs stay, as its data are on a
    volume.
    """

    caddy_image: Annotated[str, image_with_version("caddy:2.11.7")]
    """Image of Caddy, from 2.6.2 on; with a Load Balancer from 2.7 on. Releases before 2.11.2 have
    published advisories.

    Change: the next `apply` re-creates the container.
    """

    image_archives: tuple[str, ...]
    """Archives on your machine, made by `docker save`, for hosts that reach no registry. Their
    images go by tags, without known digests.

    Change: archives are uploaded only when an image is missing on the host.
    """

    registry_login: tuple[RegistryLogin, ...] = Field(repr=False)
    """[Logins for private registries](../operate/new-versions.md#private-registries), or for Docker
    Hub's higher limits, such as `{"registry": "registry.example.com", "user": "deploy",
    "password_file": "~/.config/infisical-iac/registry"}`. The password is never in the settings and
    not kept on the host.

    Change: counts for the next image that is pulled.
    """

    keep_releases: Annotated[int, at_least(1, "leaves no release to go back to; keep at least 1")]
    """Number of earlier releases that stay on the host for a rollback, each with its data of that
    time.

    Change: the next change of version, or rollback, removes older releases.
    """

    infisical_memory: Memory
    """Memory limit of the Infisical container. A lower value than `infisical_memory_needed` is
    refused.

    Change: the next `apply` re-creates the container.
    """

    infisical_memory_needed: Memory
    """Memory that the release needs to start and migrate. With 640m the server of July 2026 ran out
    of memory while it started; with 768m it started in twice the usual time.

    Change: nothing on the host. Set it only for a release that needs another amount.
    """

    infisical_cpus: Positive
    """CPU limit of the Infisical container.

    Change: the next `apply` re-creates the container.
    """

    infisical_read_only: bool
    """Run Infisical with a read-only root file system, as its hardening list asks. Set `False` for
    an image that must write outside `/tmp`, or if the web pages don't load.

    Change: the next `apply` re-creates the container.
    """

    postgres_memory: Memory
    """Memory limit of the PostgreSQL container; on a cluster, of each.

    Change: the next `apply` re-creates the container.
    """

    redis_memory: Memory
    """Memory limit of the Redis container; on a cluster, of each.

    Change: the next `apply` re-creates the container.
    """

    ingress: IngressName
    """[Ingress](../operate/ingress.md) in front of Infisical: `caddy` is part of the stack;
    `traefik` is Dokploy's; `none` is for an SSH tunnel or your own proxy.

    Change: the next `apply` adds or removes Caddy, and opens or closes ports 80 and 443 in the
    firewall.
    """

    acme_email: Annotated[
        str, matching(f"({EMAIL})?", "is not an e-mail address; write one, or leave it empty")
    ]
    """E-mail address that the certificate authority writes to.

    Change: the next `apply` reloads Caddy.
    """

    acme_ca: Annotated[
        str,
        matching(
            rf"{'|'.join(DIRECTORIES)}|{INTERNAL}|{_DIRECTORY}",
            f"is not an authority; write {', '.join(DIRECTORIES)}, {INTERNAL}, or the https "
            "address of an ACME directory",
        ),
    ]
    """Certificate authority: `letsencrypt`, `letsencrypt-staging`, `internal` (Caddy's own
    authority), or the https address of another ACME directory. On a cluster, Caddy needs `internal`
    or your own certificate.

    Change: the next `apply` reloads Caddy, which gets a certificate there.
    """

    tls_certificate: str
    """Your own certificate with its chain, instead of one from `acme_ca`: a PEM file on your
    machine.

    Change: the next `apply` checks it and reloads Caddy. Run `apply` again whenever you renew the
    file.
    """

    tls_key: str
    """Key of `tls_certificate`: a PEM file on your machine.

    Change: together with `tls_certificate`.
    """

    ui_networks: _Networks
    """Networks from which people reach the pages and the administrative API. Empty: from
    everywhere. Must be empty with `ingress = "none"`.

    Change: the next `apply` reloads Caddy; with `ingress = "traefik"` it re-creates Caddy's
    container.
    """

    machine_networks: _Networks
    """Networks from which machine identities log in and use their tokens. Empty: from everywhere.
    Must be empty with `ingress = "none"`.

    Change: the next `apply` reloads Caddy; with `ingress = "traefik"` it re-creates Caddy's
    container.
    """

    traefik_network: _TraefikName
    """Docker network of Dokploy's Traefik, for `ingress = "traefik"`.

    Change: the next `apply` re-creates Caddy's container.
    """

    traefik_entrypoint: _TraefikName
    """Traefik's entry point for https, for `ingress = "traefik"`.

    Change: the next `apply` re-creates Caddy's container.
    """

    traefik_resolver: _TraefikName
    """Traefik's certificate resolver, for `ingress = "traefik"`.

    Change: the next `apply` re-creates Caddy's container.
    """

    access_log_keep_days: Annotated[int, within(1, 3650, "choose 1 to 3650 days")]
    """Days that the [access log](../operate/access-log.md) is kept on the host.

    Change: the next rotation deletes what is older.
    """

    access_log_max_mb: Annotated[
        int, at_least(50, "keeps too little of the log; give it at least 50 megabytes")
    ]
    """Megabytes that the access log may take; the oldest entries are deleted first.

    Change: the next rotation deletes what is too much. The file system for the newest entries takes
    a quarter, at most 256 MB.
    """

    @field_validator("site_url")
    @classmethod
    def _site_url_is_absolute(cls, value: str) -> str:
        match = re.fullmatch(r"https?://([A-Za-z0-9.-]+)(:\d{1,5})?(?P<rest>[/?#].*)?", value)
        if not match:
            raise ValueError(
                f"{value!r} is not an absolute address; write https://secrets.example.com"
            )
        if match[1].lower() in ("none", "null"):
            raise ValueError(
                f"{value!r} names no host; write one such as https://secrets.example.com, or "
                "http://127.0.0.1:8080 where Infisical is reached through an SSH tunnel only"
            )
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
            raise ValueError(f"{value!r} is not a fixed release; pin one such as v0.165.16")
        if value.endswith("-postgres"):
            raise ValueError(
                f"{value!r} has the suffix that releases lost with v0.147.0; "
                f"write {value.removesuffix('-postgres')!r}"
            )
        if "@" in value:
            raise ValueError(
                f"{value!r} has another digest than infisical_digest; leave infisical_digest empty"
            )
        if not re.fullmatch(r"v\d+\.\d+\.\d+(-[a-z0-9.-]+)?", value):
            raise ValueError(f"{value!r} is not a release; write one such as v0.165.16")
        return value

    @field_validator("infisical_digest")
    @classmethod
    def _digest_is_complete(cls, value: str) -> str:
        if value and not re.fullmatch(DIGEST, value):
            raise ValueError("must be sha256: and 64 hexadecimal digits, or empty")
        return value

    @model_validator(mode="after")
    def _infisical_has_the_memory_that_it_needs(self) -> Self:
        if mebibytes(self.infisical_memory) < mebibytes(self.infisical_memory_needed):
            raise ValueError(
                f"infisical_memory is {self.infisical_memory}, but this release keeps crashing "
                f"with less than {self.infisical_memory_needed}: give it at least that"
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
        """Return the kind of ingress."""
        return KINDS[self.ingress]

    @property
    def runs_caddy(self) -> bool:
        """Return whether all requests from outside reach Infisical through a Caddy of the stack."""
        return self.ingress_kind.runs_caddy

    @property
    def infisical_reference(self) -> str:
        """Return the reference of the Infisical image, with its digest if one is set."""
        digest = f"@{self.infisical_digest}" if self.infisical_digest else ""
        return f"{self.infisical_image}:{self.infisical_version}{digest}"

    @property
    def postgres_major(self) -> int:
        """Return the major version of PostgreSQL, which decides where its data are."""
        return Images("", self.postgres_image).major


def with_known_digests(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of settings, with the known digests added to their images.

    With `image_archives`, nothing is added: Docker knows loaded images only by their tags, and the
    archives themselves are pinned.
    """
    values = _split_infisical_version(values)
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


def _split_infisical_version(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with a digest after `infisical_version` in `infisical_digest` instead.

    If both are given, the version keeps its own, and is refused.
    """
    version = values.get("infisical_version")
    if not isinstance(version, str) or "@" not in version:
        return values
    version, _, digest = version.partition("@")
    if values.get("infisical_digest") not in (None, "", digest):
        return values
    return {**values, "infisical_version": version, "infisical_digest": digest}


def with_digest(reference: str) -> str:
    """Return the reference with the known digest of its release, if it has none yet."""
    digest = DIGESTS.get(reference)
    return f"{reference}@{digest}" if digest else reference


def image_name(reference: str) -> str:
    """Return the image's name and tag, for people."""
    return reference.partition("@")[0]


def without_known_digest(reference: str) -> str:
    """Return the reference without its digest if that is the known one of its release."""
    name, _, digest = reference.partition("@")
    return name if DIGESTS.get(name) == digest else reference
