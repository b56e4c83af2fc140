"""Test that secrets move between one project and one for each service, and that nothing is lost."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from infisical_iac.agent import contents
from infisical_iac.api import rate_limits
from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import RateClass, RateLimiter
from infisical_iac.cli import isolation
from infisical_iac.core.errors import ApiError, CheckFailed, Refused, UserError
from infisical_iac.workspace.memory import parse, render
from infisical_iac.workspace.moving import carry_out, compute_ending, compute_move, end

from .projects import API, MOST_CUTS, Projects, Writer, is_cut, on

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infisical_iac.workspace.model import Isolation

    from .world import World

pytestmark = pytest.mark.real

_STAGES, _ONE = ("staging", "live"), "acme-co"
# For each secret the folder, the name, and its other fields.
SECRETS: list[tuple[str, str, dict[str, Any]]] = [
    ("/api", "PLAIN", {"secretValue": "fake"}),
    ("/api", "EMPTY", {"secretValue": ""}),
    ("/api", "LINES", {"secretValue": "fake one\nfake two\n", "skipMultilineEncoding": True}),
    ("/api", "QUOTES", {"secretValue": '"it\'s" $HOME ${shared.KEY} \\n ü 🔑'}),
    ("/api/inner", "DEEP", {"secretValue": "fake", "secretComment": "by hand\nin two lines"}),
    ("/web", "META", {"secretMetadata": [{"key": "owner", "value": "Ada"}]}),
    ("/shared", "PLAIN", {"secretValue": "another"}),
]


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Projects]:
    with on(world, "privilege") as made:
        yield made


@pytest.fixture
def one(server: Projects) -> Iterator[Projects]:
    """A deployment in one project, with secrets in it."""
    server.isolation = "privilege"
    server.apply()
    for stage in _STAGES:
        _fill(server, stage)
    yield server
    server.clear()


def _fill(made: Projects, stage: str) -> None:
    at = {"projectId": made.memory.project, "environment": stage}
    made.deployer.post("/api/v2/folders", json={**at, "path": "/api", "name": "inner"})
    tag = made.deployer.get(f"{API}/{made.memory.project}/tags")["tags"]
    if not tag:
        body = {"slug": "hot", "color": "#ff0000"}
        tag = [made.deployer.post(f"{API}/{made.memory.project}/tags", json=body)["tag"]]
    for folder, name, fields in SECRETS:
        body = {**at, "secretPath": folder, "secretValue": "fake", **fields}
        tags = {"tagIds": [tag[0]["id"]]} if name == "META" else {}
        made.deployer.post(f"/api/v4/secrets/{name}", json={**body, **tags})


_FIELDS = ("secretKey", "secretValue", "secretComment", "skipMultilineEncoding", "secretMetadata")


def _read(made: Projects, *, split: bool) -> dict[str, list[Any]]:
    """Return all secrets of one side with their other fields, by environment and folder."""
    found: dict[str, list[Any]] = {}
    for project in made.projects():
        if (project["slug"] != _ONE) == split:
            for stage, listed in contents.secrets_of(made.deployer, project).items():
                for each in listed:
                    tags = [(tag["slug"], tag["color"]) for tag in each["tags"]]
                    row = [*(each[field] for field in _FIELDS), tags]
                    found.setdefault(f"{stage} {each['secretPath']}", []).append(row)
    return {key: sorted(rows, key=str) for key, rows in sorted(found.items())}


def _move(made: Projects, to: Isolation = "projects") -> Any:
    return carry_out(made.reach(), to, lambda _: None)


def _pass(made: Projects, to: Isolation) -> None:
    """Move, and accept that somebody keeps writing until the last pass."""
    try:
        _move(made, to)
    except CheckFailed as error:
        if error.code != "checks.move":
            raise


def _end(made: Projects, name: str) -> None:
    end(made.reach(), compute_ending(made.reach(), name), lambda _: None)


def _write(made: Projects, project: str, stage: str, folder: str, **values: str) -> None:
    at = {"projectId": project, "environment": stage, "secretPath": folder}
    secrets = [{"secretKey": name, "secretValue": value} for name, value in values.items()]
    body = {**at, "mode": "upsert", "secrets": secrets}
    made.deployer.patch("/api/v4/secrets/batch", json=body)


def test_secrets_move_there_and_back_with_all_that_belongs_to_them(one: Projects) -> None:
    before, identities = _read(one, split=False), one.memory.identities
    moved = _move(one)
    assert moved.same == len(SECRETS) * len(_STAGES)
    assert _read(one, split=True) == before == _read(one, split=False)
    assert parse(render(one.memory)) == one.memory
    one.isolation = "projects"
    assert one.plan().due == []
    _end(one, "finish")
    assert _ONE not in one.slugs()
    assert one.plan().due == []
    assert one.memory.move is None

    _move(one, "privilege")
    one.isolation = "privilege"
    assert one.plan().due == []
    _end(one, "finish")
    assert one.slugs() == [_ONE]
    assert _read(one, split=False) == before
    assert one.plan().due == []
    assert one.memory.identities == identities


@pytest.mark.parametrize("to", ["projects", "privilege"])
def test_a_plan_announces_the_calls_that_the_copy_sends(
    one: Projects, to: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    if to == "privilege":
        _in_projects(one)
    announced: list[int] = []
    limiter, expect = one.deployer.limiter, RateLimiter.expect

    def recording(self: RateLimiter, due: Mapping[RateClass, int]) -> None:
        announced.append(due.get(rate_limits.SECRETS, 0))
        expect(self, due)

    for _ in range(2):  # The second move has nothing to copy.
        with monkeypatch.context() as patch:
            patch.setattr(RateLimiter, "expect", recording)
            compute_move(one.reach(), to)
        before = limiter.count_sent()[rate_limits.SECRETS]
        _move(one, to)
        assert announced[-1] == limiter.count_sent()[rate_limits.SECRETS] - before
    one.isolation = "privilege"


def test_services_read_both_sides_until_the_move_is_finished(one: Projects) -> None:
    reader = one.log_in("api-live")
    _move(one)
    raw = {"expandSecretReferences": "false"}
    old = {"projectId": one.memory.project, "environment": "live", "secretPath": "/api", **raw}
    new = {**one.at("api.live"), **raw}
    seen = [
        {each["secretKey"] for each in reader.get("/api/v4/secrets", params=at)["secrets"]}
        for at in (old, new)
    ]
    assert seen[0] == seen[1] != set()
    one.isolation = "projects"
    _end(one, "finish")
    with pytest.raises(ApiError):
        reader.get("/api/v4/secrets", params=old)
    assert reader.get("/api/v4/secrets", params=new)["secrets"]


def test_a_repeated_move_copies_what_was_written_since_and_deletes_what_was_deleted(
    one: Projects,
) -> None:
    _move(one)
    _write(one, one.memory.project, "live", "/api", PLAIN="changed", ADDED="new")
    at = {"projectId": one.memory.project, "environment": "live", "secretPath": "/web"}
    one.deployer.delete("/api/v4/secrets/META", json=at)
    assert compute_move(one.reach(), "projects").is_due
    one.isolation = "projects"
    with pytest.raises(Refused) as refused:
        compute_ending(one.reach(), "finish")
    assert "live /api ADDED" in str(refused.value)
    _move(one)
    assert _read(one, split=True) == _read(one, split=False)
    _end(one, "finish")


@pytest.mark.parametrize("to", ["projects", "privilege"])
def test_an_undo_names_the_secrets_that_were_written_on_the_new_side(
    one: Projects, to: Isolation
) -> None:
    if to == "privilege":
        _in_projects(one)
    slugs, start = one.slugs(), one.memory
    _move(one, to)
    before = _read(one, split=to == "privilege")
    parts = one.memory.parts
    new = parts["api.live"].project if to == "projects" else one.memory.project
    _write(one, new, "live", "/api", PLAIN="later", MORE="more")
    left = _move(one, to)
    assert [str(each) for each in left.newer] == ["live /api MORE", "live /api PLAIN"]
    ending = compute_ending(one.reach(), "undo")
    assert ending.compared is not None
    assert ending.compared.newer == left.newer
    _end(one, "undo")
    assert one.slugs() == slugs
    assert _read(one, split=to == "privilege") == before
    assert one.plan().due == []
    assert one.memory == start


def test_a_secret_changed_on_both_sides_is_kept_and_blocks_the_finish(one: Projects) -> None:
    _move(one)
    new = one.memory.parts["api.live"].project
    for project, value in ((new, "one"), (one.memory.project, "two")):
        _write(one, project, "live", "/api", PLAIN=value)
    assert [str(each) for each in _move(one).conflicts] == ["live /api PLAIN"]
    one.isolation = "projects"
    with pytest.raises(Refused):
        compute_ending(one.reach(), "finish")
    _write(one, one.memory.project, "live", "/api", PLAIN="one")
    one.isolation = "privilege"
    assert _move(one).conflicts == ()


def test_a_folder_that_no_service_has_is_refused_before_anything_changes(one: Projects) -> None:
    at = {"projectId": one.memory.project, "environment": "live"}
    one.deployer.post("/api/v2/folders", json={**at, "path": "/", "name": "stray"})
    _write(one, one.memory.project, "live", "/stray", KEY="fake")
    with pytest.raises(Refused) as refused:
        compute_move(one.reach(), "projects")
    assert "/stray in live" in str(refused.value)
    assert one.slugs() == [_ONE]


def test_an_environment_that_the_file_does_not_name_is_refused_and_never_lost(
    one: Projects,
) -> None:
    _move(one)
    path = f"{API}/{one.memory.project}/environments"
    one.deployer.post(path, json={"name": "Odd", "slug": "odd"})
    _write(one, one.memory.project, "odd", "/", KEY="fake")
    one.isolation = "projects"
    with pytest.raises(Refused) as refused:
        compute_ending(one.reach(), "finish")
    assert "/ in odd" in str(refused.value)
    with pytest.raises(Refused):
        compute_move(one.reach(), "projects")


def test_a_secret_outside_of_a_projects_folder_is_refused_and_never_lost(one: Projects) -> None:
    _move(one)
    one.isolation = "projects"
    _end(one, "finish")
    _write(one, one.memory.parts["api.live"].project, "live", "/", KEY="fake")
    with pytest.raises(Refused) as refused:
        compute_move(one.reach(), "privilege")
    assert "/ in live" in str(refused.value)


def test_a_deploy_in_another_isolation_is_refused_until_the_secrets_have_moved(
    one: Projects,
) -> None:
    one.isolation = "projects"
    with pytest.raises(Refused) as refused:
        one.plan()
    assert refused.value.code == "refused.isolation"
    assert "isolation apply --to projects" in str(refused.value)


def test_finish_and_undo_are_refused_while_the_settings_name_the_other_isolation(
    one: Projects,
) -> None:
    _move(one)
    with pytest.raises(Refused):
        compute_ending(one.reach(), "finish")
    one.isolation = "projects"
    with pytest.raises(Refused):
        compute_ending(one.reach(), "undo")


@pytest.mark.parametrize("to", ["projects", pytest.param("privilege", marks=pytest.mark.long)])
def test_a_move_that_is_cut_at_any_request_is_completed_by_the_next(
    one: Projects, to: Isolation
) -> None:
    if to == "privilege":
        _move(one)
        one.isolation = "projects"
        _end(one, "finish")
    before = _read(one, split=to == "privilege")
    start, cuts = one.memory, 0
    while cuts < MOST_CUTS and is_cut(one, lambda made: _move(made, to)):
        cuts += 1
    assert 20 < cuts < MOST_CUTS
    assert _read(one, split=to == "projects") == before
    one.isolation = to
    ends = 0
    while ends < MOST_CUTS and is_cut(one, lambda made: _end(made, "finish")):
        ends += 1
    assert 0 < ends < MOST_CUTS
    assert one.memory.move is None
    assert start.identities == one.memory.identities
    assert _read(one, split=to == "projects") == before
    assert one.plan().due == []
    one.isolation = "privilege"


@pytest.mark.parametrize("to", ["projects", pytest.param("privilege", marks=pytest.mark.long)])
def test_no_acknowledged_write_is_lost_though_moves_are_cut_at_every_step(
    one: Projects, to: Isolation
) -> None:
    if to == "privilege":
        _in_projects(one)

    def place(isolation: Isolation) -> dict[str, str] | None:
        part = one.memory.parts.get("api.live")
        project = one.memory.project if isolation == "privilege" else part and part.project
        return (
            {"projectId": project, "environment": "live", "secretPath": "/api"} if project else None
        )

    def copy_all(made: Projects) -> None:
        _pass(made, to)

    old: Isolation = "privilege" if to == "projects" else "projects"
    url = str(one.deployer._http.base_url)
    with Client(url) as first, Client(url) as second:
        token = str(one.deployer._token)
        by_old = Writer(first.with_token(token), "OLD", lambda: place(old))
        by_new = Writer(second.with_token(token), "NEW", lambda: place(to))
        with by_new:
            with by_old:
                made_cuts = copy_cuts = 0
                # Each run makes one more change, until there are projects to copy secrets into.
                while made_cuts < MOST_CUTS and not (one.memory.move and one.memory.move.versions):
                    assert is_cut(one, lambda made: _move(made, to))
                    made_cuts += 1
                # The copies are cut after ever more changes, until a run makes all its passes.
                while copy_cuts < MOST_CUTS and is_cut(one, copy_all, copy_cuts):
                    copy_cuts += 1
            assert 10 < made_cuts < MOST_CUTS
            assert 3 < copy_cuts < MOST_CUTS
            cuts = 0
            while cuts < MOST_CUTS and is_cut(one, lambda made: _move(made, to)):
                cuts += 1
            assert _move(one, to).conflicts == ()
            one.isolation = to
            while cuts < MOST_CUTS and is_cut(one, lambda made: _end(made, "finish")):
                cuts += 1
            assert cuts < MOST_CUTS
    assert (len(by_old.acknowledged), len(by_new.acknowledged)) == (7, 7)
    rows = _read(one, split=to == "projects")["live /api"]
    found = {row[0]: row[1] for row in rows}
    written = {**by_old.acknowledged, **by_new.acknowledged}
    assert {name: found.get(name) for name in written} == written
    one.isolation = "privilege"


def test_a_copy_that_a_killed_run_did_not_record_is_no_conflict(one: Projects) -> None:
    _move(one)
    _write(one, one.memory.project, "live", "/api", PLAIN="one")
    assert is_cut(one, _move, after=2)  # after the memory and the copy
    _write(one, one.memory.project, "live", "/api", PLAIN="two")
    assert _move(one).conflicts == ()
    assert _read(one, split=True) == _read(one, split=False)


def test_a_write_in_place_of_a_copy_that_was_cut_is_a_conflict(one: Projects) -> None:
    _move(one)
    _write(one, one.memory.project, "live", "/api", PLAIN="one")
    assert is_cut(one, _move)  # before the copy
    _write(one, one.memory.parts["api.live"].project, "live", "/api", PLAIN="theirs")
    _write(one, one.memory.project, "live", "/api", PLAIN="two")
    assert [str(each) for each in _move(one).conflicts] == ["live /api PLAIN"]


@pytest.mark.parametrize("to", ["projects", "privilege"])
def test_a_secret_that_somebody_writes_while_a_finish_is_interrupted_is_not_deleted(
    one: Projects, to: Isolation
) -> None:
    if to == "privilege":
        _in_projects(one)
    _move(one, to)
    one.isolation = to
    assert is_cut(one, lambda made: _end(made, "finish"))
    projects = [one.memory.parts["web.live"].project, one.memory.project]
    old, new = reversed(projects) if to == "projects" else projects
    _write(one, old, "live", "/web", LATE="fake")
    with pytest.raises(Refused) as refused:
        _end(one, "finish")
    assert "live /web LATE" in str(refused.value)
    _write(one, new, "live", "/web", LATE="fake")
    _end(one, "finish")
    assert one.memory.move is None
    one.isolation = "privilege"


@pytest.mark.parametrize("to", ["projects", "privilege"])
def test_an_undo_that_is_cut_is_continued_by_the_next(one: Projects, to: Isolation) -> None:
    if to == "privilege":
        _in_projects(one)
    slugs, before = one.slugs(), _read(one, split=to == "privilege")
    _move(one, to)
    cuts = 0
    while cuts < MOST_CUTS and is_cut(one, lambda made: _end(made, "undo")):
        with pytest.raises(Refused):
            compute_move(one.reach(), to)
        cuts += 1
    assert 1 < cuts < MOST_CUTS
    assert one.slugs() == slugs
    assert _read(one, split=to == "privilege") == before
    assert one.plan().due == []


def test_secrets_that_somebody_writes_meanwhile_arrive(one: Projects) -> None:
    count = 0

    def write(line: str) -> None:
        nonlocal count
        if "secret" in line and count < 3:
            count += 1
            _write(one, one.memory.project, "live", "/api", COUNTER=str(count))

    carry_out(one.reach(), "projects", write)
    assert count == 3
    assert _read(one, split=True) == _read(one, split=False)


def _in_projects(one: Projects) -> None:
    """Move the secrets to projects, and end the move."""
    _move(one)
    one.isolation = "projects"
    _end(one, "finish")


def test_secrets_of_a_service_that_the_file_no_longer_names_are_refused_and_never_lost(
    one: Projects,
) -> None:
    _in_projects(one)
    services = dict(one.content["services"])
    del one.content["services"]["web"]
    try:
        with pytest.raises(Refused) as refused:
            compute_move(one.reach(), "privilege")
        assert "/web in live" in str(refused.value)
        with pytest.raises(Refused):
            _move(one, "privilege")
        one.content["services"] = dict(services)
        _move(one, "privilege")
        one.isolation = "privilege"
        del one.content["services"]["web"]
        with pytest.raises(Refused):
            compute_ending(one.reach(), "finish")
    finally:
        one.content["services"] = services


def test_a_secret_that_somebody_writes_before_the_answer_is_not_deleted_by_a_finish(
    one: Projects,
) -> None:
    _move(one)
    one.isolation = "projects"
    ending = compute_ending(one.reach(), "finish")
    _write(one, one.memory.project, "live", "/api", LATE="fake")
    with pytest.raises(Refused):
        end(one.reach(), ending, lambda _: None)
    assert _ONE in one.slugs()


def test_a_secret_that_somebody_writes_before_the_answer_is_named_before_an_undo(
    one: Projects,
) -> None:
    _move(one)
    ending = compute_ending(one.reach(), "undo")
    _write(one, one.memory.parts["api.live"].project, "live", "/api", LATE="fake")
    with pytest.raises(Refused) as refused:
        end(one.reach(), ending, lambda _: None)
    assert "live /api LATE" in str(refused.value)
    _end(one, "undo")
    assert one.slugs() == [_ONE]


def test_tags_of_one_slug_with_other_colors_become_one(one: Projects) -> None:
    _in_projects(one)
    for key, color in (("api.live", "#00ff00"), ("web.live", "#0000ff")):
        path = f"{API}/{one.id_of(key)}/tags"
        for each in one.deployer.get(path)["tags"]:
            one.deployer.delete(f"{path}/{each['id']}")
        body = {"slug": "cold", "color": color}
        tag = one.deployer.post(path, json=body)["tag"]["id"]
        one.write(key, "TAGGED", tagIds=[tag])
    moved = _move(one, "privilege")
    assert moved.is_settled
    assert moved.conflicts == ()


def test_a_project_that_somebody_made_meanwhile_survives_an_undo(one: Projects) -> None:
    _move(one)
    body = {"projectName": "X", "slug": "acme-co-job-live", "shouldCreateDefaultEnvs": False}
    one.deployer.post(API, json=body)
    services = dict(one.content["services"])
    one.content["services"]["job"] = {"folder": "/job"}
    ending = compute_ending(one.reach(), "undo")
    one.content["services"] = services
    assert "acme-co-job-live" not in ending.projects.values()


def test_a_refusal_of_the_isolation_viewer_names_a_possible_migration(one: Projects) -> None:
    _in_projects(one)
    one.isolation = "viewer"
    with pytest.raises(Refused) as refused:
        one.plan()
    assert "isolation apply --to privilege" in str(refused.value)


def test_a_new_project_that_somebody_deletes_gets_its_secrets_again(one: Projects) -> None:
    _move(one)
    path = f"{API}/{one.memory.parts['web.live'].project}"
    one.deployer.patch(path, json={"name": "any", "hasDeleteProtection": False})
    one.deployer.delete(path)
    assert compute_move(one.reach(), "projects").compared.write
    assert _move(one).newer == ()
    assert _read(one, split=True) == _read(one, split=False)


def test_a_finish_is_refused_until_a_recreated_project_has_its_secrets(
    one: Projects,
) -> None:
    _move(one)
    path = f"{API}/{one.memory.parts['web.live'].project}"
    one.deployer.patch(path, json={"name": "any", "hasDeleteProtection": False})
    one.deployer.delete(path)
    one.isolation = "projects"
    one.apply()
    with pytest.raises(Refused) as refused:
        compute_ending(one.reach(), "finish")
    assert "live /web META" in str(refused.value)
    _move(one)
    _end(one, "finish")


@pytest.mark.parametrize(
    ("to", "cuts"),
    [
        *(("projects", each) for each in (0, 3, 9)),
        *(pytest.param("privilege", each, marks=pytest.mark.long) for each in (0, 3)),
        ("privilege", 9),
    ],
)
def test_a_move_that_was_cut_can_be_undone(one: Projects, to: Isolation, cuts: int) -> None:
    if to == "privilege":
        _in_projects(one)
    slugs, before = one.slugs(), _read(one, split=to == "privilege")
    assert all(is_cut(one, lambda made: _move(made, to)) for _ in range(cuts + 1))
    _end(one, "undo")
    assert one.slugs() == slugs
    assert _read(one, split=to == "privilege") == before
    assert one.plan().due == []


def test_a_service_that_is_added_meanwhile_does_not_stop_a_move_to_one_project(
    one: Projects,
) -> None:
    _in_projects(one)
    services = dict(one.content["services"])
    _move(one, "privilege")
    one.isolation = "privilege"
    one.content["services"] = {**services, "job": {"folder": "/job"}}
    try:
        one.apply()
        _move(one, "privilege")
        _end(one, "finish")
    finally:
        one.content["services"] = services
    assert one.slugs() == [_ONE]


def test_no_secret_moves_into_a_project_of_others(one: Projects) -> None:
    body = {"projectName": "Trap", "slug": "acme-co-api-live", "shouldCreateDefaultEnvs": False}
    trap = one.deployer.post(API, json=body)["project"]["id"]
    body = {"name": "spy", "organizationId": one.organization, "role": "no-access"}
    spy = one.deployer.post("/api/v1/identities", json=body)["identity"]["id"]
    roles = {"roles": [{"role": "admin", "isTemporary": False}]}
    one.deployer.post(f"{API}/{trap}/memberships/identities/{spy}", json=roles)
    assert [each.kind for each in compute_move(one.reach(), "projects").changes].count("!") == 1
    with pytest.raises(UserError):
        _move(one)
    assert one.deployer.get(f"{API}/{trap}")["project"]["environments"] == []
    _end(one, "undo")
    assert one.slugs() == [_ONE, "acme-co-api-live"]
    one.deployer.delete(f"/api/v1/identities/{spy}")


def test_a_move_ends_though_somebody_deleted_the_old_project(one: Projects) -> None:
    _move(one)
    path = f"{API}/{one.memory.project}"
    one.deployer.patch(path, json={"name": "any", "hasDeleteProtection": False})
    one.deployer.delete(path)
    one.isolation = "projects"
    _end(one, "finish")
    assert one.memory.move is None
    assert one.plan().due == []


def test_the_commands_print_what_they_moved_and_deleted(
    one: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "reach", lambda *_, **__: nullcontext(one.reach()))
    moved = CliRunner().invoke(isolation.isolation, ["apply", "--to", "projects", "--yes"])
    assert moved.exit_code == 0, moved.output
    assert f"{len(SECRETS) * len(_STAGES)} secrets read back" in moved.output
    undone = CliRunner().invoke(isolation.isolation, ["undo", "--yes"])
    assert undone.exit_code == 0, undone.output
    assert "- project acme-co-api-live" in undone.output.splitlines()
    assert one.slugs() == [_ONE]
