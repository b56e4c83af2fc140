"""Test what the settings of the stack make of images with a known digest, and of half a pair."""

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
    """Hosts, kept releases and recovery kits name the older ones."""
    assert with_digest(reference) == f"{reference}@{DIGESTS[reference]}"
    assert without_known_digest(with_digest(reference)) == reference
    assert image_name(with_digest(reference)) == reference


@pytest.mark.parametrize(
    "reference", ["redis:1.2.3", f"redis:8.2.3@{_DIGEST}", f"redis:1.2.3@{_DIGEST}"]
)
def test_a_release_without_a_known_digest_stays_as_it_is_given(reference: str) -> None:
    assert with_digest(reference) == reference
    assert without_known_digest(reference) == reference


def test_images_of_an_archive_are_known_by_their_tags() -> None:
    values = {"redis_image": "redis:8.2.3", "image_archives": ("images.tar",)}
    assert with_known_digests(values) == values
    assert with_known_digests({"redis_image": "redis:8.2.3", "image_archives": ()}) == {
        "redis_image": with_digest("redis:8.2.3"),
        "image_archives": (),
    }


def test_a_digest_of_infisical_that_is_given_outweighs_the_known_one() -> None:
    values = {"infisical_image": "infisical/infisical", "infisical_version": "v0.165.16"}
    known = DIGESTS["infisical/infisical:v0.165.16"]
    assert with_known_digests(values)["infisical_digest"] == known
    given = with_known_digests({**values, "infisical_digest": _DIGEST})
    assert given["infisical_digest"] == _DIGEST


@pytest.mark.parametrize(
    ("given", "missing"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")]
)
def test_half_a_pair_of_certificate_and_key_is_refused_by_the_name_of_what_is_missing(
    given: str, missing: str
) -> None:
    with pytest.raises(SettingsError, match=f"{given} is set without {missing}; set both"):
        settings_of(**{given: "/nowhere/file"})
