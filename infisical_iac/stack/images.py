"""Pin images by the digests that are known."""

from collections.abc import Mapping
from typing import Any

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
