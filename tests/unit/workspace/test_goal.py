"""Test the projects of the isolation `projects`: their slugs, roles, and where folders are."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.core.errors import UserError
from infisical_iac.workspace import goal as goal_module
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.goal import (
    Goal,
    Layout,
    Memory,
    Move,
    empty_state,
    find_unnamed_parts,
    role_in,
    slugs_of,
    split,
)
from infisical_iac.workspace.load import load
from infisical_iac.workspace.memory import parse, render
from infisical_iac.workspace.model import Project, Workspace
from infisical_iac.workspace.state import Actual

_WORD = st.from_regex(r"[a-z0-9]{1,12}(-[a-z0-9]{1,12}){0,3}", fullmatch=True)
_FOLDER = st.from_regex(r"(/[A-Za-z0-9_-]{1,12}){1,3}", fullmatch=True)


def _workspace(
    services: dict[str, Any], shared: list[str], environments: tuple[str, ...] = ("live",)
) -> Workspace:
    content = {
        "project": {"name": "Acme", "slug": "acme-co"},
        "environments": [{"slug": each, "name": each.title()} for each in environments],
        "shared_folders": shared,
        "services": services,
    }
    return load(json.dumps(content))


@given(
    st.lists(_WORD, min_size=1, max_size=6, unique=True),
    st.lists(_FOLDER, max_size=4, unique=True),
    st.lists(_WORD, min_size=1, max_size=3, unique_by=str.title),
)
def test_each_project_has_a_slug_of_its_own_that_infisical_accepts(
    services: list[str], shared: list[str], environments: list[str]
) -> None:
    every = {name: {"folder": f"/{number}-own"} for number, name in enumerate(services)}
    try:
        desired = _workspace(every, shared, tuple(environments))
    except UserError:  # such as two services with the same name of their identities
        return
    slugs = slugs_of(desired)
    assert len(slugs) == (len(services) + len(shared)) * len(environments)
    assert len({*slugs.values()}) == len(slugs)
    for slug in slugs.values():
        assert 5 <= len(slug) <= 36
        assert slug == slug.strip("-")
        assert "--" not in slug


def test_a_folder_without_a_letter_has_a_slug_too() -> None:
    (slug,) = slugs_of(_workspace({}, ["/-"])).values()
    assert slug.startswith("acme-co-folder-live-")


def test_short_slugs_name_the_project_the_service_and_the_environment() -> None:
    desired = _workspace({"backend": {"folder": "/backend"}}, ["/shared"])
    assert slugs_of(desired) == {
        "backend.live": "acme-co-backend-live",
        "/shared.live": "acme-co-shared-live",
    }


def test_a_service_and_a_folder_of_one_name_have_other_slugs() -> None:
    found = slugs_of(_workspace({"shared": {"folder": "/own"}}, ["/shared"])).values()
    assert all(each.startswith("acme-co-shared-live-") for each in found)
    assert len({*found}) == 2


@pytest.mark.parametrize(
    ("access", "role"),
    [
        ("admin", "admin"),
        ({"live": "developer"}, "developer"),
        ({"other": "admin"}, "none"),
        ({"live": {"/apps/api": "viewer"}}, "viewer"),
        ({"live": {"/apps": "viewer", "/apps/api": "developer"}}, "developer"),
        ({"live": {"/apps/api/inner": "admin", "/app": "admin"}}, "none"),
    ],
)
def test_a_role_counts_for_the_folders_that_it_covers(access: Any, role: str) -> None:
    assert role_in(access, "live", "/apps/api") == role


def test_a_layout_finds_the_project_of_a_folder_and_of_those_inside_it() -> None:
    layout = Layout(parts={("live", "/api"): "1", ("live", "/shared"): "2", ("qa", "/api"): "3"})
    found = [layout.find("live", each) for each in ("/api", "/api/a/b", "/shared", "/apis", "/")]
    assert found == ["1", "1", "2", "", ""]
    assert layout.list_in("live") == ["1", "2"]
    assert Layout("whole").find("live", "/") == "whole"


def _goal(services: dict[str, Any], memory: Memory) -> Goal:
    desired = _workspace(services, [])
    return Goal(desired=desired, isolation="projects", admin_email="a@b.io", memory=memory)


def test_a_renamed_service_keeps_the_memory_of_its_project_and_folder() -> None:
    known = Memory(
        environments={"live": "e"}, folders={"e": {"/old": "f"}}, project="p", slug="acme-co-old"
    )
    services = {"new": {"folder": "/new", "renamed_from": "old"}}
    memory = Memory(parts={"old.live": known})
    found = split(_goal(services, memory))["new.live"].memory
    assert (found.project, found.slug) == ("p", "acme-co-new-live")
    assert found.folders == {"e": {"/new": "f"}}
    assert find_unnamed_parts(_goal(services, memory)) == {}


def test_the_empty_state_lacks_every_project_and_its_content() -> None:
    goal = _goal({"api": {"folder": "/api"}}, Memory())
    made = [each.what for each in difference(goal, empty_state(goal))]
    inside = [each for each in made if each.endswith("project acme-co-api-live")]
    assert {each.split()[0] for each in inside} == {"project", "environment", "folder"}
    assert any("membership of api-live" in each for each in inside)
    whole = replace(goal, isolation="privilege")
    assert empty_state(whole) == Actual("")


def test_projects_that_left_the_file_are_found_and_marked_if_runs_made_them() -> None:
    ours, theirs = Memory(project="1", made=frozenset({"1"})), Memory(project="2")
    goal = _goal({}, Memory(parts={"gone.live": ours, "other.live": theirs}))
    found = find_unnamed_parts(goal)
    assert found == {"gone.live": ours, "other.live": theirs}
    assert [key for key, each in found.items() if each.is_made] == ["gone.live"]


def test_the_memory_of_projects_and_of_a_move_is_read_as_it_was_written() -> None:
    part = Memory(project="1", slug="one", made=frozenset({"1"}), environments={"live": "e"})
    move = Move("projects", "2026-12-01T00:00:00Z", frozenset({"9"}), {"live /api KEY": (2, 1)})
    memory = Memory(parts={"api.live": part}, move=move, unenforced=True, canary="c")
    assert parse(render(memory)) == memory


def test_the_memory_of_a_release_that_recorded_only_the_fallback_knows_the_reason() -> None:
    known = parse('{"environments": {}, "fell_back": true}')
    assert (known.fell_back, known.unenforced) == (True, True)


def test_a_fallback_counts_only_while_the_settings_have_privileges() -> None:
    goal = Goal(desired=_workspace({}, []), isolation="privilege", admin_email="a@b.io")
    fallen = goal.recalling(Memory(fell_back=True))
    assert (fallen.isolation, fallen.memory.fell_back) == ("projects", True)
    chosen = Goal(desired=goal.desired, isolation="projects", admin_email="a@b.io")
    kept = chosen.recalling(Memory(fell_back=True, unenforced=True)).memory
    assert (kept.fell_back, kept.unenforced) == (False, True)


def _digest(monkeypatch: pytest.MonkeyPatch, beginning: str) -> None:
    """Let each digest in a slug begin in the same way."""

    def sha256(text: bytes) -> SimpleNamespace:
        return SimpleNamespace(hexdigest=lambda: beginning + hashlib.sha256(text).hexdigest())

    monkeypatch.setattr(goal_module, "sha256", sha256)


def test_slugs_whose_short_digests_are_equal_get_longer_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _digest(monkeypatch, "0" * 10)
    services = {
        f"a-service-with-quite-a-long-name-{each}": {"folder": f"/{each}"} for each in "abc"
    }
    found = slugs_of(_workspace(services, [])).values()
    assert len({*found}) == len(services)
    assert [each for each in found if len(each) > 36] == []


def test_a_cut_slug_differs_from_the_whole_slug_of_another_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The digest of a service's cut slug is the name of the environment."""
    _digest(monkeypatch, "deadbeef")
    services = {"b" * 30: {"folder": "/long"}, "b" * 19: {"folder": "/short"}}
    found = slugs_of(_workspace(services, [], ("deadbeef",)))
    assert found[f"{'b' * 19}.deadbeef"] == f"acme-co-{'b' * 19}-deadbeef"
    assert len({*found.values()}) == 2


def test_long_slugs_of_two_deployments_in_one_organization_differ() -> None:
    desired = _workspace({"backend": {"folder": "/backend"}}, [])
    found = {
        slugs_of(desired.model_copy(update={"project": Project(name="Acme", slug=slug)}))[key]
        for slug in ("acme-platform-of-the-whole-firm-eu", "acme-platform-of-the-whole-firm-us")
        for key in ("backend.live",)
    }
    assert len(found) == 2
