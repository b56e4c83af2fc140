"""Test that `--prune` requires the name of an object with contents of others."""

import re

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.workspace.plan import Removal
from tests.unit.deployment import folder
from tests.unit.remembering_deployment import (
    NO_BACKEND,
    NO_STAGING,
    RESTORABLE,
    RememberingDeployment,
    apply_whole,
    without,
)


@pytest.fixture
def deployment() -> RememberingDeployment:
    return apply_whole()


def _names(found: list[Removal]) -> list[str]:
    return [each.name for each in found if each.name]


def test_pruning_a_folder_with_secrets_requires_its_name(deployment: RememberingDeployment) -> None:
    deployment.server.store("staging", "/backend", "A", "B")
    left = deployment.server.store("staging", "/", "C")
    (gone,) = (each for each in deployment.plan(NO_STAGING).unnamed if each.name)
    assert (gone.name, gone.holds) == ("staging", "3 secrets")
    assert str(gone.change) == f"- environment staging: with 3 secrets, {RESTORABLE}"
    (gone,) = (each for each in deployment.plan(NO_BACKEND).unnamed if each.name)
    assert (gone.name, gone.holds) == ("staging/backend", "2 secrets")
    done = deployment.apply(NO_BACKEND, prune=True)
    assert f"- {folder('/backend', 'staging')}: with 2 secrets" in done
    assert [*deployment.server.stored.values()] == [left]


def test_pruning_a_secret_requires_the_name_of_the_innermost_folder(
    deployment: RememberingDeployment,
) -> None:
    deployment.server.store("staging", "/services/python", "A")
    left = without(services=["python-service"])
    assert _names(deployment.plan(left).unnamed) == ["staging/services/python"]


def test_pruning_contents_of_others_requires_the_name_of_the_folder(
    deployment: RememberingDeployment,
) -> None:
    staging = deployment.server.environment("staging")["id"]
    deployment.server.folders[staging].add("/backend/by-hand")
    deployment.server.store("staging", "/backend/by-hand", "A")
    by_hand = {"id": "by-hand", "into": (staging, "/backend"), "importPath": "/shared"}
    deployment.server.imports.append({**by_hand, "importEnv": {"id": "elsewhere"}, "position": 9})
    (gone,) = (each for each in deployment.plan(NO_BACKEND).unnamed if each.name)
    assert gone.name == "staging/backend"
    assert re.split(", | and ", gone.holds) == ["1 secret", "1 foreign folder", "1 foreign import"]


def test_an_object_that_got_a_secret_since_the_question_stays(
    deployment: RememberingDeployment,
) -> None:
    planned = deployment.plan(NO_STAGING, prune=True)
    deployment.server.store("staging", "/backend", "A")
    with pytest.raises(Refused, match="environment staging now holds 1 secret"):
        deployment.make(NO_STAGING, planned)
    assert deployment.server.environment("staging")


def test_an_object_that_left_the_file_after_the_question_stays(
    deployment: RememberingDeployment,
) -> None:
    planned = deployment.plan(NO_STAGING, prune=True)
    done = deployment.make(without(environments=["staging", "development"]), planned)
    assert done[-1].startswith("- environment staging")
    assert not any("development" in each for each in done)
