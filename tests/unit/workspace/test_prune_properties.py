"""Whatever environments hold: nothing but what runs made goes, and all of that does."""

from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.workspace.holdings import Holding
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.prune import removals, unnamed
from infisical_iac.workspace.state import Actual, EnvironmentState, Import
from tests.unit.remembering_deployment import WHOLE

STAGES = ("development", "staging", "production")
_PATHS = st.sampled_from(
    ["/backend", "/backend/a", "/backend/a/b", "/other", "/other/x", "/shared"]
)


@st.composite
def _situations(draw: st.DrawFn) -> tuple[Actual, list[Holding], Memory, dict[str, dict[str, int]]]:
    """Return what environments hold, some of it made by runs and some by others."""
    slugs = draw(st.lists(st.sampled_from([*STAGES, "qa", "uat"]), unique=True, min_size=1))
    environments = [EnvironmentState(f"id-{s}", s, s, n) for n, s in enumerate(slugs, start=1)]
    held = []
    for each in environments:
        paths = sorted(draw(st.sets(_PATHS)))
        imports = draw(st.lists(st.tuples(st.sampled_from(paths), _PATHS))) if paths else []
        held.append(
            Holding(
                each,
                {path: f"{each.id}:{path}" for path in paths},
                tuple(
                    Import(f"{each.id}>{n}", into, (each.id, source))
                    for n, (into, source) in enumerate(imports)
                ),
            )
        )
    made = frozenset(draw(st.sets(st.sampled_from(_ids(held)))))
    counts = st.dictionaries(_PATHS, st.integers(1, 3), max_size=2)
    secrets = {each.slug: draw(counts) for each in environments}
    return Actual("o", environments=tuple(environments)), held, Memory({}, made), secrets


def _ids(held: list[Holding]) -> list[str]:
    return [
        id
        for each in held
        for id in (each.environment.id, *each.folders.values(), *(i.id for i in each.imports))
    ]


@given(_situations())
def test_nothing_that_was_not_made_is_deleted_but_with_a_typed_name(
    situation: tuple[Actual, list[Holding], Memory, dict[str, dict[str, int]]],
) -> None:
    actual, held, memory, secrets = situation
    found = removals("p", memory, unnamed(WHOLE, actual, memory, held), secrets)
    gone = {each.id: each for each in found}
    assert len(gone) == len(found)
    assert gone.keys() <= memory.made
    for holding in held:
        slug, environment = holding.environment.slug, gone.get(holding.environment.id)
        assert not environment or slug not in STAGES
        inside = [("", environment)] if environment else []
        inside += [(path, gone[id]) for path, id in holding.folders.items() if id in gone]
        foreign = [path for path, id in holding.folders.items() if id not in memory.made]
        foreign += [each.folder for each in holding.imports if each.id not in memory.made]
        for place in [*foreign, *secrets[slug]]:
            around = [each for path, each in inside if f"{place}/".startswith(f"{path}/")]
            assert not around or any(each.name for each in around)
        wanted = set(WHOLE.folders) if slug in STAGES else set()
        assert not {holding.folders[path] for path in wanted & holding.folders.keys()} & gone.keys()


@given(_situations())
def test_all_that_was_made_and_is_not_named_goes(
    situation: tuple[Actual, list[Holding], Memory, dict[str, dict[str, int]]],
) -> None:
    actual, held, memory, secrets = situation
    found = removals("p", memory, unnamed(WHOLE, actual, memory, held), secrets)
    gone = {each.id for each in found}
    for holding in held:
        if holding.environment.slug not in STAGES and holding.environment.id not in gone:
            assert not memory.made & {holding.environment.id, *holding.folders.values()} - gone
