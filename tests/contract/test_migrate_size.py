"""`infisical-iac migrate apply` with much to write: how many requests, and how long ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .migrating import ENVIRONMENTS, new
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
    assert sum(len(case.stored(each)) for each in ENVIRONMENTS) == 1000


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
