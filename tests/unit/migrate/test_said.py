"""Test a grammar that a person wrote into the plan, and its effect on other files."""

from pathlib import Path

from infisical_iac.migrate import planning
from infisical_iac.migrate.planning import apply_chosen_grammars
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.modes import KEY, make_plan, scan
from tests.unit.migrate.trees import WORKSPACE, node, plant


def test_a_file_with_a_chosen_grammar_is_compared_with_the_other_files(tmp_path: Path) -> None:
    files = {".env": "A=base\n", ".env.development": "A=mode\n"}
    sources = scan(tmp_path, "vite", files)
    assert not any(each.kind == "same-target" for one in sources.values() for each in one.findings)
    plan = make_plan(sources)
    said = [
        each.model_copy(update={"grammar": "compose"}) if each.path.endswith(".env") else each
        for each in plan.sources
    ]
    earlier = plan.model_copy(update={"sources": tuple(said)})
    merged = apply_chosen_grammars(list(sources.values()), earlier, tmp_path, WORKSPACE)
    output = {(each.file, each.kind) for one in merged for each in one.findings}
    assert {("backend/.env", "same-target"), ("backend/.env.development", "same-target")} <= output
    again = apply_chosen_grammars(merged, earlier, tmp_path, WORKSPACE)
    assert again == merged


def test_a_migrated_file_keeps_its_grammar_without_its_former_loader(tmp_path: Path) -> None:
    """Once python-dotenv is removed, only the plan shows how the file was read."""
    path = "backend/.env"
    plant(tmp_path, {"backend/requirements.txt": "python-dotenv\n", path: "A=fake\nB='$A # x'#y\n"})
    before = make_plan({path: scan_all([tmp_path], WORKSPACE)[0]})
    assert before.sources[0].grammar == "python-dotenv"
    plant(tmp_path, {"backend/requirements.txt": "infisical-config\n"})
    sources = scan_all([tmp_path], WORKSPACE)
    assert sources[0].grammar == "dotenv"
    kept = apply_chosen_grammars(sources, before, tmp_path, WORKSPACE, {path})
    again = planning.make(kept, project="abcde", root=".", key=KEY, earlier=before)
    assert again.sources[0].grammar == "python-dotenv"
    digests = [[each.digest for each in plan.sources[0].keys.values()] for plan in (before, again)]
    assert digests[0] == digests[1]
    assert [each.decision for each in again.sources[0].keys.values()] == [
        each.decision for each in before.sources[0].keys.values()
    ]
    (other,) = apply_chosen_grammars(sources, before, tmp_path, WORKSPACE)
    assert other.grammar == "dotenv"


def test_a_migrated_file_keeps_its_loader_and_layers(tmp_path: Path) -> None:
    files = {".env": "A=base\nB=$A\n", ".env.development": "A=mode\n"}
    before = make_plan(scan(tmp_path, "vite", files))
    plant(tmp_path, {"backend/package.json": node("infisical-config")})
    sources = scan_all([tmp_path], WORKSPACE)
    paths = {each.path for each in sources}
    kept = apply_chosen_grammars(sources, before, tmp_path, WORKSPACE, paths)
    again = planning.make(kept, project="abcde", root=".", key=KEY, earlier=before)
    for earlier, now in zip(before.sources, again.sources, strict=True):
        assert (earlier.loader, earlier.layers) == (now.loader, now.layers)
        assert {n: k.digest for n, k in earlier.keys.items()} == {
            n: k.digest for n, k in now.keys.items()
        }
