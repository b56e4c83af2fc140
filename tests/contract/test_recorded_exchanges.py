"""Test that the stand-in answers all recorded exchanges, replayed in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .replay import RECORDING, Player, with_deployer
from .world import set_up

if TYPE_CHECKING:
    from .services import Standin


def test_the_stand_in_answers_every_exchange_as_it_was_recorded(standin: Standin) -> None:
    player = Player(standin)
    differences = [player.differences(exchange) for exchange in RECORDING["exchanges"]]
    assert len(differences) == 149
    assert [each for found in differences for each in found] == []


def test_the_stand_in_answers_every_exchange_about_people_as_it_was_recorded(
    standin: Standin,
) -> None:
    player = with_deployer(set_up(standin))
    differences = [player.differences(exchange) for exchange in RECORDING["people"]]
    assert len(differences) == 16
    assert [each for found in differences for each in found] == []


def test_the_stand_in_answers_every_exchange_about_the_instance_as_it_was_recorded(
    standin: Standin,
) -> None:
    player = with_deployer(set_up(standin))
    differences = [player.differences(exchange) for exchange in RECORDING["instance"]]
    assert len(differences) == 36
    assert [each for found in differences for each in found] == []


def test_every_operation_of_the_api_document_is_served(standin: Standin) -> None:
    document = json.loads((Path(__file__).parent / "openapi-subset.json").read_text())
    unserved = []
    client = standin.client()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            if "Route " in answer.text:
                unserved.append(f"{method} {path}")
    assert unserved == []
