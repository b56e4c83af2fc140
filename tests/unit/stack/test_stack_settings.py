"""Test the digests of images, and incomplete pairs of settings, in the settings of the stack."""

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.stack.settings import (
    DIGESTS,
    image_name,
    with_digest,
    with_known_digests,
    without_known_digest,
)
from tests.unit.settings_of import settings_of

_DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("reference", ["redis:8.2.3", "caddy:2.10.2", "redis:8.2.10"])
def test_a_release_that_is_or_was_the_default_has_a_digest(reference: str) -> None:
    """Hosts, kept releases and recovery kits name older releases."""
    assert with_digest(reference) == f"{reference}@{DIGESTS[reference]}"
    assert without_known_digest(with_digest(reference)) == reference
    assert image_name(with_digest(reference)) == reference


@pytest.mark.parametrize(
    "reference", ["redis:1.2.3", f"redis:8.2.3@{_DIGEST}", f"redis:1.2.3@{_DIGEST}"]
)
def test_a_release_without_a_known_digest_is_not_changed(reference: str) -> None:
    assert with_digest(reference) == reference
    assert without_known_digest(reference) == reference


def test_images_of_an_archive_are_named_by_their_tags() -> None:
    values = {"redis_image": "redis:8.2.3", "image_archives": ("images.tar",)}
    assert with_known_digests(values) == values
    assert with_known_digests({"redis_image": "redis:8.2.3", "image_archives": ()}) == {
        "redis_image": with_digest("redis:8.2.3"),
        "image_archives": (),
    }


def test_a_configured_digest_of_infisical_takes_precedence_over_the_known_digest() -> None:
    values = {"infisical_image": "infisical/infisical", "infisical_version": "v0.165.16"}
    known = DIGESTS["infisical/infisical:v0.165.16"]
    assert with_known_digests(values)["infisical_digest"] == known
    given = with_known_digests({**values, "infisical_digest": _DIGEST})
    assert given["infisical_digest"] == _DIGEST


@pytest.mark.parametrize(
    ("given", "missing"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")]
)
def test_a_certificate_or_key_without_the_other_setting_is_refused(
    given: str, missing: str
) -> None:
    with pytest.raises(SettingsError, match=f"{given} is set without {missing}; set both"):
        settings_of(**{given: "/nowhere/file"})


@pytest.mark.parametrize("image", ["infisical/infisical", "registry.example:5000/a/infisical"])
def test_a_digest_after_the_version_of_infisical_pins_its_image(image: str) -> None:
    settings = settings_of(infisical_image=image, infisical_version=f"v0.166.2@{_DIGEST}")
    assert settings.stack.infisical_version == "v0.166.2"
    assert settings.stack.infisical_reference == f"{image}:v0.166.2@{_DIGEST}"


def test_the_same_digest_may_be_given_twice() -> None:
    settings = settings_of(infisical_version=f"v0.166.2@{_DIGEST}", infisical_digest=_DIGEST)
    assert settings.stack.infisical_digest == _DIGEST


def test_two_different_digests_of_infisical_are_refused() -> None:
    """Docker would run the image of the digest and ignore the version."""
    other = f"sha256:{'1' * 64}"
    with pytest.raises(SettingsError, match="infisical_digest"):
        settings_of(infisical_version=f"v0.166.2@{_DIGEST}", infisical_digest=other)


@pytest.mark.parametrize("digest", ["", "sha256:abc", "sha512:" + "a" * 64, "sha256:" + "A" * 64])
@pytest.mark.parametrize("setting", ["infisical_version", "redis_image", "patroni_image"])
def test_an_incomplete_digest_is_refused(setting: str, digest: str) -> None:
    values = {"infisical_version": "v0.166.2", "redis_image": "redis:8.2.3"}
    reference = f"{values.get(setting, 'r.example/spilo-17:4.0-p3')}@{digest}"
    if setting == "infisical_version" and not digest:
        assert settings_of(infisical_version=reference).stack.infisical_digest == ""
        return
    with pytest.raises(SettingsError, match="64 hexadecimal digits"):
        settings_of(**{setting: reference})


@pytest.mark.parametrize(
    "setting", ["postgres_image", "caddy_image", "patroni_image", "etcd_image", "haproxy_image"]
)
def test_each_image_can_be_pinned_by_a_digest(setting: str) -> None:
    image = f"registry.example:5000/mirror/image-17:3.5.21@{_DIGEST}"
    assert settings_of(**{setting: image}).value_of(setting) == image
