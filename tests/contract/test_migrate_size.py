"""Test the number and size of requests of a large `infisical-iac migrate apply`."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from .migrating import ENVIRONMENTS, Case, new
from .unreliable import UnreliableProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .world import World


@pytest.fixture(scope="module")
def proxy(world: World) -> Iterator[UnreliableProxy]:
    with UnreliableProxy(world.standin.url) as running:
        yield running


def test_a_thousand_secrets_of_twenty_files_take_at_most_twenty_writes(
    world: World, tmp_path: Path, proxy: UnreliableProxy
) -> None:
    services = [f"service-{number}" for number in range(10)]
    case = new(world, tmp_path, *services)
    lines = "".join(f"FAKE_{number}=fake-value-{number}\n" for number in range(50))
    for service in services:
        for environment in ENVIRONMENTS:
            case.write(f"{service}/.env.{environment}", lines)
    case.run("plan")
    proxy.expect(None)
    assert case.run("apply", url=proxy.url).exit_code == 0
    assert proxy.count("write") <= 20
    assert sum(len(case.read_values(each)) for each in ENVIRONMENTS) == 1000


def test_a_folder_too_big_for_one_request_takes_several(
    world: World, tmp_path: Path, proxy: UnreliableProxy
) -> None:
    case = new(world, tmp_path)
    big = "".join(f"FAKE_{number}={'x' * 100_000}\n" for number in range(20))
    case.write("backend/.env.production", big)
    case.run("plan")
    proxy.expect(None)
    assert case.run("apply", url=proxy.url).exit_code == 0
    sizes = [len(each.body) for each in proxy.seen if each.kind == "write"]
    assert len(sizes) == 3
    assert max(sizes) < 900_000


@pytest.fixture(scope="module")
def large(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, set[str]]:
    """A tree of 1,000 files, 50 of each service in each environment, and all of its values."""
    services = [f"service-{number}" for number in range(10)]
    case = new(world, tmp_path_factory.mktemp("large"), *services)
    values: set[str] = set()
    for service, environment, part in product(services, ENVIRONMENTS, range(50)):
        held = {f"PART_{part}_{name}": f"fake-{uuid4()}" for name in ("TOKEN", "PASSWORD", "KEY")}
        lines = "".join(f"{key}={value}\n" for key, value in held.items())
        case.write(f"{service}/part-{part}/.env.{environment}", lines)
        values.update(held.values())
    return case, values


def test_a_tree_of_a_thousand_files_is_planned_and_migrated(
    large: tuple[Case, set[str]], proxy: UnreliableProxy
) -> None:
    case, values = large
    planned = case.run("plan")
    assert planned.exit_code == 2
    assert "3000 new" in planned.stdout
    proxy.expect(None)
    applied = case.run("apply", url=proxy.url)
    assert applied.exit_code == 0, applied.error
    assert "3000 of 3000 secrets" in applied.stdout
    report = json.loads((case.root / "migration-report.json").read_text(encoding="utf-8"))
    assert (report["outcome"], report["counts"]) == ("proven", {"written": 3000})
    assert report["as_decided"] == []
    assert proxy.count("write") == 20
    assert {each for stage in ENVIRONMENTS for each in case.values(stage).values()} == values
    assert case.run("plan").exit_code == 0


def test_output_and_files_of_a_large_migration_hold_no_value(
    large: tuple[Case, set[str]],
) -> None:
    case, values = large
    shown = [case.run(command, "--json").output for command in ("plan", "apply", "verify")]
    written = [each for each in case.root.iterdir() if each.is_file()]
    assert {each.name for each in written} >= {"migration.yaml", "migration-report.html"}
    for text in (*shown, *(each.read_bytes().decode(errors="replace") for each in written)):
        assert values.isdisjoint(re.findall(r"fake-[0-9a-f-]{36}", text))
