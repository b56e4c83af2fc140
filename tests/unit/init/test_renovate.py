"""Test how Renovate updates what `infisical-iac init` writes, by its preset."""

import json
import re

import pytest

from tests.unit.init.own import render_around

_DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('infisical_version = "v0.165.16"', {"currentValue": "v0.165.16"}),
        ('# infisical_version = "v0.165.16"', None),
        (
            f'infisical_version = "v0.165.16@sha256:{"0" * 64}"',
            {"currentValue": "v0.165.16", "currentDigest": f"sha256:{'0' * 64}"},
        ),
        (
            'postgres_image = "postgres:17.11"',
            {"depType": "postgres_image", "depName": "postgres", "currentValue": "17.11"},
        ),
        (
            'patroni_image = "ghcr.io/zalando/spilo-17:4.0-p3"',
            {
                "depType": "patroni_image",
                "depName": "ghcr.io/zalando/spilo-17",
                "currentValue": "4.0-p3",
            },
        ),
        (
            'etcd_image = "gcr.io/etcd-development/etcd:v3.5.21"',
            {
                "depType": "etcd_image",
                "depName": "gcr.io/etcd-development/etcd",
                "currentValue": "v3.5.21",
            },
        ),
        (
            f'caddy_image = "ghcr.example/caddy:2.11@sha256:{"0" * 64}"',
            {
                "depType": "caddy_image",
                "depName": "ghcr.example/caddy",
                "currentValue": "2.11",
                "currentDigest": f"sha256:{'0' * 64}",
            },
        ),
        ('redis_memory = "256m"', None),
    ],
)
def test_renovate_finds_the_versions_in_the_settings(
    line: str, found: dict[str, str] | None
) -> None:
    """Renovate's expressions are JavaScript's, which writes a named group as (?<name>…)."""
    preset = json.loads(render_around()["renovate.json"])
    patterns = [each for manager in preset["customManagers"] for each in manager["matchStrings"]]
    named = [each.replace("(?<", "(?P<") for each in patterns]
    matches = [re.search(each, f'"""Ours."""\n{line}\n') for each in named]
    groups = [match.groupdict() for match in matches if match]
    assert [{k: v for k, v in each.items() if v} for each in groups] == ([found] if found else [])


@pytest.mark.parametrize(
    ("line", "value", "updated"),
    [
        (
            'infisical_version = "v0.165.16"',
            "v0.165.16",
            f'infisical_version = "v0.165.16@{_DIGEST}"',
        ),
        (
            f'infisical_version = "v0.165.16@sha256:{"0" * 64}"',
            "v0.166.2",
            f'infisical_version = "v0.166.2@{_DIGEST}"',
        ),
        (
            'patroni_image = "ghcr.io/zalando/spilo-17:4.0-p3"',
            "4.0-p4",
            f'patroni_image = "ghcr.io/zalando/spilo-17:4.0-p4@{_DIGEST}"',
        ),
    ],
)
def test_renovate_writes_the_digest_into_each_line_that_it_updates(
    line: str, value: str, updated: str
) -> None:
    """The replacement is a Handlebars template; the test renders the syntax that it uses."""
    preset = json.loads(render_around()["renovate.json"])
    text = f'"""Ours."""\n{line}\nswap = "off"\n'
    for manager in preset["customManagers"]:
        (pattern,) = manager["matchStrings"]
        if match := re.search(pattern.replace("(?<", "(?P<"), text):
            values = {**match.groupdict(), "newValue": value, "newDigest": _DIGEST}
            new = manager["autoReplaceStringTemplate"]
            new = new.replace("{{#if newDigest}}", "").replace("{{/if}}", "")
            new = new.replace("{{{", "{").replace("}}}", "}").format(**values)
            text = text.replace(match[0], new)
    assert text == f'"""Ours."""\n{updated}\nswap = "off"\n'


def test_renovate_pins_every_image_by_its_digest() -> None:
    """The image of the GitLab jobs is pinned too, because these jobs get the SSH key."""
    rules = json.loads(render_around()["renovate.json"])["packageRules"]
    (rule,) = [each for each in rules if each.get("pinDigests")]
    assert rule["matchDatasources"] == ["docker"]
