"""Test the memory of a host from one run to the next."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.core.errors import Refused
from infisical_iac.workspace.goal import Goal, Layout, Memory
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import learn, made_ids, parse, refuse_unmoved, render
from infisical_iac.workspace.state import Actual, ApiChange, Call, EnvironmentState, ProjectState
from tests.unit.deployment import TEXT
from tests.unit.remembering_deployment import RememberingDeployment

_WORDS = st.text(min_size=1, max_size=8)


_IDS = st.dictionaries(_WORDS, _WORDS)


@given(
    st.builds(
        Memory,
        _IDS,
        st.frozensets(_WORDS),
        st.dictionaries(_WORDS, _IDS),
        _IDS,
        *[_WORDS] * 3,
    )
)
def test_a_memory_round_trips(memory: Memory) -> None:
    assert parse(render(memory)) == memory


def test_a_file_of_earlier_versions_lists_nothing_as_made() -> None:
    old = {"development": "id-1", "environments": "id-2", "made": "id-3"}
    assert parse(json.dumps(old)) == Memory(old)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "7", "{broken", '{"environments": {}}'])
def test_an_unusable_file_is_an_empty_memory(text: str) -> None:
    assert parse(text) == Memory()


@pytest.mark.parametrize("made", ["null", '"id-1"', "7", "{}"])
def test_an_invalid_list_of_ids_counts_as_empty(made: str) -> None:
    text = f'{{"environments": {{"qa": "id-1", "uat": 7}}, "made": {made}}}'
    assert parse(text) == Memory({"qa": "id-1"})


def test_a_deleted_environment_is_forgotten_but_still_counts_as_made() -> None:
    memory = Memory({"qa": "id-1", "staging": "id-2"}, frozenset({"id-1"}))
    assert memory.without({"id-1", "id-9"}) == Memory({"staging": "id-2"}, frozenset({"id-1"}))


def _deploy() -> RememberingDeployment:
    deployment = RememberingDeployment()
    deployment.apply(load(TEXT))
    return deployment


def test_a_first_run_made_every_environment_folder_and_import() -> None:
    deployment = _deploy()
    server = deployment.server
    folders = {server.folder_id(id, path) for id, paths in server.folders.items() for path in paths}
    environments = {each["slug"]: each["id"] for each in server.environments}
    imports = {each["id"] for each in server.imports}
    made = frozenset(folders | imports | {*environments.values()})
    assert (deployment.memory.environments, deployment.memory.made) == (environments, made)
    assert len(made) == 3 + 3 * 4 + 3


def test_a_run_without_changes_reads_and_learns_nothing() -> None:
    deployment = _deploy()
    known = deployment.memory
    deployment.server.requests.clear()
    actual = Actual("organization-1", ProjectState("project-1", {"slug": "chainalign"}))
    learned = learn(deployment.client, deployment.reach(load(TEXT)), actual, [])
    assert learned == replace(known, environments={}, folders={})
    assert deployment.server.requests == []


def test_existing_objects_do_not_count_as_made() -> None:
    deployment = RememberingDeployment()
    deployment.deploy()
    server = deployment.server
    staging = server.environment("staging")["id"]
    server.folders[staging].remove("/services/python")
    deployment.apply(load(TEXT))
    assert deployment.memory.made == {server.folder_id(staging, "/services/python")}
    assert deployment.memory.environments["staging"] == staging


def test_objects_deleted_right_after_their_creation_have_no_id() -> None:
    qa = EnvironmentState("id-1", "qa", "QA", 1)
    at = {"environment": "qa", "path": "/", "projectId": "project-1"}
    made = [
        ApiChange("+", "folder", "", (Call("POST", ("/api/v2/folders",), {**at, "name": name}),))
        for name in ("one", "two")
    ]
    assert made_ids(made, [replace(qa, folders={"/one": "id-2", "/three": "id-3"})]) == {"id-2"}


_LAYOUT = Layout(
    parts={
        ("live", "/api"): "api-id",
        ("live", "/shared"): "shared-id",
        ("live", "/shared/deep"): "",
        ("staging", "/api"): "other-id",
    }
)


def test_a_folder_is_in_the_project_of_the_nearest_folder_that_has_one() -> None:
    found = {
        place: _LAYOUT.find("live", place)
        for place in ("/api", "/api/jobs/mail", "/apis", "/", "/shared", "/shared/deep/er")
    }
    assert found == {
        "/api": "api-id",
        "/api/jobs/mail": "api-id",
        "/apis": "",
        "/": "",
        "/shared": "shared-id",
        "/shared/deep/er": "",  # its project can't be seen
    }
    assert _LAYOUT.find("production", "/api") == ""
    assert Layout("one-id").find("production", "/anything") == "one-id"


def test_a_folder_is_elsewhere_only_if_another_project_holds_it() -> None:
    assert _LAYOUT.is_elsewhere("live", "/api", "shared-id")
    assert not _LAYOUT.is_elsewhere("live", "/api", "api-id")
    # That is the former folder of a service whose rename is still to be applied.
    assert not _LAYOUT.is_elsewhere("live", "/former", "api-id")


def test_only_projects_that_can_be_seen_are_listed() -> None:
    assert _LAYOUT.list_in("live") == ["api-id", "shared-id"]
    assert _LAYOUT.ids == ["api-id", "shared-id", "other-id"]


def test_a_memory_without_a_project_of_an_earlier_release_is_not_an_empty_one() -> None:
    goal = Goal(
        desired=load(TEXT),
        isolation="projects",
        admin_email="ada@example.com",
        memory=Memory({"production": "id-1"}),
    )
    with pytest.raises(Refused) as refused:
        refuse_unmoved(goal)
    assert refused.value.code == "refused.isolation"
    refuse_unmoved(replace(goal, memory=Memory()))
