"""Test that pinned images are compared with registries concurrently and in a bounded time."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from infisical_iac.change import outdated
from infisical_iac.change.outdated import (
    PinnedImage,
    VersionReport,
    ask_all,
    assess_image,
    assess_tool,
    compare,
    list_pinned,
    read_digests,
    row,
)
from infisical_iac.change.tool_versions import PackageClient
from infisical_iac.core import bundle
from infisical_iac.core.settings import Settings
from tests.fake_registry import DIGEST, FakeRegistry, fake_registry
from tests.unit.settings_of import settings_of

_INFISICAL = PinnedImage("infisical", "infisical_version", "infisical/infisical:v0.165.16")
_CLIENT = PackageClient("pip", (), "", "pip install x=={}", "pipx run --spec x=={} x")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    tags = {
        "infisical/infisical": ["v0.165.16", "v0.166.2"],
        "library/postgres": ["17.11", "17.12", "18.4"],
        "library/redis": ["8.2.10"],
        "library/caddy": ["2.11.7", "2.11.8"],
    }
    with fake_registry(tags=tags) as found:
        yield found


def _at(registry: FakeRegistry) -> Settings:
    return settings_of(
        infisical_image=f"{registry.host}/infisical/infisical",
        postgres_image=f"{registry.host}/library/postgres:17.11@{DIGEST}",
        redis_image=f"{registry.host}/library/redis:8.2.10",
        caddy_image=f"{registry.host}/library/caddy:2.11.7",
    )


def test_images_of_a_single_host_are_those_of_its_services() -> None:
    assert [(each.name, each.setting) for each in list_pinned(settings_of())] == [
        ("infisical", "infisical_version"),
        ("postgres", "postgres_image"),
        ("redis", "redis_image"),
        ("caddy", "caddy_image"),
    ]


def test_a_cluster_has_images_of_its_own() -> None:
    """A cluster keeps `postgres_image`, because drills run in that image."""
    found = {
        each.setting for each in list_pinned(settings_of(topology="swarm", acme_ca="internal"))
    }
    assert {"postgres_image", "patroni_image", "etcd_image", "haproxy_image"} < found


def test_a_host_without_caddy_needs_no_image_of_it() -> None:
    found = list_pinned(settings_of(ingress="none", site_url="http://127.0.0.1:8080"))
    assert "caddy_image" not in {each.setting for each in found}


def test_all_registries_are_asked(registry: FakeRegistry) -> None:
    found = {each.name: each for each in compare(_at(registry), timeout=30)}
    newest = {name: (each.pinned, each.newest, each.major) for name, each in found.items()}
    assert newest == {
        "infisical-iac": (bundle.version(), "", ""),
        "infisical": ("v0.165.16", "v0.166.2", ""),
        "postgres": ("17.11", "17.12", "18.4"),
        "redis": ("8.2.10", "", ""),
        "caddy": ("2.11.7", "2.11.8", ""),
    }
    assert [each.unknown for each in found.values()] == [""] * 5
    assert found["postgres"].image == f"{registry.host}/library/postgres:17.11"


def test_a_newer_version_of_any_image_has_its_digest(registry: FakeRegistry) -> None:
    """Otherwise an image that is now pinned by its digest would later be pinned by a tag only."""
    found = {each.name: each for each in compare(_at(registry), timeout=30) if each.newest}
    assert {name: each.digest for name, each in found.items()} == dict.fromkeys(
        ("infisical", "postgres", "caddy"), DIGEST
    )
    asked = [each for each in registry.requests if "/manifests/" in each]
    assert sorted(each.rpartition("/")[2] for each in asked) == ["17.12", "2.11.8", "v0.166.2"]


def test_no_digest_is_asked_for_with_image_archives(registry: FakeRegistry) -> None:
    """Docker knows images from archives by their tags only."""
    settings = _at(registry).with_values(image_archives=("images.tar",))
    found = {each.name: each for each in compare(settings, timeout=30)}
    assert (found["infisical"].newest, found["infisical"].digest) == ("v0.166.2", "")
    assert not [each for each in registry.requests if "/manifests/" in each]


def test_a_newer_version_without_a_digest_is_reported(registry: FakeRegistry) -> None:
    registry.has_manifests = False
    found = {each.name: each for each in compare(_at(registry), timeout=30)}
    postgres = found["postgres"]
    assert (postgres.newest, postgres.digest, postgres.unknown) == ("17.12", "", "")
    (note,) = postgres.notes
    assert registry.host in note
    assert "`infisical-iac outdated --pin`" in note
    assert found["redis"].notes == ()


def test_the_images_of_a_cluster_are_compared_and_pinned() -> None:
    """Spilo's patch level is part of its tag, and PostgreSQL's major version part of its name."""
    tags = {
        "infisical/infisical": ["v0.165.16"],
        "library/postgres": ["17.11"],
        "library/redis": ["8.2.10"],
        "library/haproxy": ["3.2.25"],
        "etcd-development/etcd": ["v3.5.21", "v3.5.22"],
        "zalando/spilo-17": ["4.0-p3", "4.0-p4"],
    }
    with fake_registry(tags=tags) as registry:
        settings = settings_of(
            topology="swarm",
            ingress="none",
            infisical_image=f"{registry.host}/infisical/infisical",
            postgres_image=f"{registry.host}/library/postgres:17.11",
            redis_image=f"{registry.host}/library/redis:8.2.10",
            patroni_image=f"{registry.host}/zalando/spilo-17:4.0-p3",
            etcd_image=f"{registry.host}/etcd-development/etcd:v3.5.21@sha256:{'b' * 64}",
            haproxy_image=f"{registry.host}/library/haproxy:3.2.25",
        )
        newer = [each for each in compare(settings, timeout=30) if each.newest]
        digests = {image.setting: digest for image, digest in read_digests(settings, timeout=30)}
    assert {each.setting: (each.newest, each.digest) for each in newer} == {
        "patroni_image": ("4.0-p4", DIGEST),
        "etcd_image": ("v3.5.22", DIGEST),
    }
    clusters = ("patroni_image", "etcd_image", "haproxy_image")
    assert {setting: digests[setting] for setting in clusters} == dict.fromkeys(clusters, DIGEST)


def test_a_stalled_registry_is_reported_as_unknown(registry: FakeRegistry) -> None:
    registry.stalls = True
    began = time.monotonic()
    found = compare(_at(registry), timeout=0.5)
    assert time.monotonic() - began < 20
    unknown = [each.unknown for each in found if each.setting]
    assert len(unknown) == 4
    assert all(registry.host in each and "0.5 s" in each for each in unknown)
    assert [each.newest for each in found] == [""] * 5


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_failing_registry_is_reported_as_unknown(registry: FakeRegistry, status: int) -> None:
    registry.status = status
    found = [each for each in compare(_at(registry), timeout=30) if each.setting]
    assert all(registry.host in each.unknown for each in found)


def test_the_digests_of_pinned_tags_are_read(registry: FakeRegistry) -> None:
    registry.tags["library/redis"] = ["8.2.11"]
    found = {image.name: digest for image, digest in read_digests(_at(registry), timeout=30)}
    assert "no library/redis" in str(found.pop("redis"))
    assert found == dict.fromkeys(("infisical", "postgres", "caddy"), DIGEST)


def test_a_release_that_cannot_be_skipped_is_named() -> None:
    old = replace(_INFISICAL, reference="infisical/infisical:v0.93.1")
    found = assess_image(old, ["v0.93.1", "v0.93.5", "v0.94.0", "v0.166.2"])
    assert found.newest == "v0.93.5" or not found.newest
    (note,) = found.notes
    assert "v0.94.0" in note


def test_a_broken_release_is_not_offered() -> None:
    old = replace(_INFISICAL, reference="infisical/infisical:v0.110.0")
    found = assess_image(old, ["v0.110.0", "v0.110.1"])
    assert found.newest == ""
    assert "v0.111.0" in found.notes[0]


def test_an_upgrade_in_one_step_has_no_note() -> None:
    found = assess_image(_INFISICAL, ["v0.166.2"])
    assert (found.newest, found.notes) == ("v0.166.2", ())


@pytest.mark.parametrize(
    ("newest", "running", "expected"),
    [
        ("0.2.0", "0.1.0", "0.2.0"),
        ("0.10.0", "0.9.0", "0.10.0"),
        ("0.1.0", "0.1.0", ""),
        ("0.1.0", "0.2.0", ""),
        ("", "0.1.0", ""),
    ],
)
def test_versions_are_compared_by_number(newest: str, running: str, expected: str) -> None:
    assert assess_tool(newest, running, _CLIENT).newest == expected


def test_the_commands_name_the_newest_version() -> None:
    upgrade, changes = assess_tool("0.2.0", "0.1.0", _CLIENT).notes
    assert "`pip install x==0.2.0`" in upgrade
    assert " x==0.2.0 x outdated --since 0.1.0`" in changes


def _report(name: str, **values: str) -> VersionReport:
    return VersionReport(name, f"{name}_image", f"{name}:1", "1", **values)


@pytest.mark.parametrize(
    ("reports", "text", "is_note"),
    [
        ([_report("redis"), _report("caddy")], "none", False),
        ([_report("postgres", major="18")], "none", False),
        (
            [_report("redis", newest="8.3"), _report("caddy", unknown="no answer")],
            "redis 8.3: `infisical-iac outdated`",
            True,
        ),
        ([_report("redis", unknown="silence"), _report("caddy")], "not known: silence", True),
        (
            [_report("redis", unknown="silence"), _report("caddy", unknown="silence")],
            "not known: silence",
            True,
        ),
    ],
)
def test_new_versions_are_a_note_and_no_failure(
    reports: list[VersionReport], text: str, is_note: bool
) -> None:
    found = row(reports)
    assert (found.text, found.is_note, found.ok) == (text, is_note, True)


def test_a_request_without_an_answer_does_not_delay_others() -> None:
    never = threading.Event()

    def fail() -> str:
        raise ValueError("unexpected")

    try:
        answers = ask_all({"a": lambda: "yes", "b": lambda: str(never.wait(60)), "c": fail}, 0.5)
    finally:
        never.set()
    assert (answers["a"], answers["b"]) == ("yes", None)
    assert isinstance(answers["c"], ValueError)
    assert outdated.TIME_LIMIT <= 5
