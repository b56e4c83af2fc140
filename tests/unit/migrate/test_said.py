"""A grammar that a person wrote into the plan, and what follows from it for other files."""

from pathlib import Path

from infisical_iac.migrate.planning import apply_chosen_grammars
from tests.unit.migrate.modes import planned, scanned
from tests.unit.migrate.trees import WORKSPACE


def test_a_file_that_is_read_by_itself_again_is_compared_with_the_others(tmp_path: Path) -> None:
    files = {".env": "A=base\n", ".env.development": "A=mode\n"}
    sources = scanned(tmp_path, "vite", files)
    assert not any(each.kind == "same-target" for one in sources.values() for each in one.findings)
    plan = planned(sources)
    said = [
        each.model_copy(update={"grammar": "compose"}) if each.path.endswith(".env") else each
        for each in plan.sources
    ]
    earlier = plan.model_copy(update={"sources": tuple(said)})
    anew = apply_chosen_grammars(list(sources.values()), earlier, tmp_path, WORKSPACE)
    told = {(each.file, each.kind) for one in anew for each in one.findings}
    assert {("backend/.env", "same-target"), ("backend/.env.development", "same-target")} <= told
    again = apply_chosen_grammars(anew, earlier, tmp_path, WORKSPACE)
    assert again == anew
