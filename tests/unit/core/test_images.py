"""Test that references of images are completed in the same way as by Docker."""

import pytest

from infisical_iac.core.images import ImageReference, Images, parse_reference, tag_of

_DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("postgres:17.11", ImageReference("docker.io", "library/postgres", "17.11", "")),
        ("postgres", ImageReference("docker.io", "library/postgres", "", "")),
        ("infisical/infisical:v1", ImageReference("docker.io", "infisical/infisical", "v1", "")),
        ("docker.io/redis:8", ImageReference("docker.io", "library/redis", "8", "")),
        ("index.docker.io/a/b:1", ImageReference("docker.io", "a/b", "1", "")),
        (f"redis:8@{_DIGEST}", ImageReference("docker.io", "library/redis", "8", _DIGEST)),
        (f"redis@{_DIGEST}", ImageReference("docker.io", "library/redis", "", _DIGEST)),
        ("ghcr.io/zalando/spilo-17:4", ImageReference("ghcr.io", "zalando/spilo-17", "4", "")),
        ("localhost/a:1", ImageReference("localhost", "a", "1", "")),
        ("localhost:5000/a/b/c:1", ImageReference("localhost:5000", "a/b/c", "1", "")),
        ("127.0.0.1:5000/a", ImageReference("127.0.0.1:5000", "a", "", "")),
    ],
)
def test_a_reference_is_split_into_registry_name_tag_and_digest(
    image: str, expected: ImageReference
) -> None:
    assert parse_reference(image) == expected


def test_a_digest_after_the_tag_changes_no_version() -> None:
    pinned = Images(f"infisical/infisical:v0.165.16@{_DIGEST}", f"postgres:17.11@{_DIGEST}")
    assert (pinned.version, pinned.major) == ("v0.165.16", 17)
    assert Images("", f"ghcr.io/zalando/spilo-17:4.0-p3@{_DIGEST}").major == 17
    assert tag_of(f"localhost:5000/redis@{_DIGEST}") == ""
