"""Test that, for any contents, exactly the objects that runs made are pruned."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.plan import find_unnamed, removals
from infisical_iac.workspace.state import Actual, EnvironmentState, Import
from tests.unit.remembering_deployment import WHOLE

STAGES = ("development", "staging", "production")
_PATHS = st.sampled_from(
    ["/backend", "/backend/a", "/backend/a/b", "/other", "/other/x", "/shared"]
)

_Situation = tuple[Actual, list[EnvironmentState], Memory, dict[str, dict[str, int]]]


@st.composite
def _situations(
    draw: st.DrawFn,
) -> _Situation:
    """Return contents of environments, some made by runs and some by others."""
    slugs = draw(st.lists(st.sampled_from([*STAGES, "qa", "uat"]), unique=True, min_size=1))
    environments = [EnvironmentState(f"id-{s}", s, s, n) for n, s in enumerate(slugs, start=1)]
    held = []
    for each in environments:
        paths = sorted(draw(st.sets(_PATHS)))
        imports = draw(st.lists(st.tuples(st.sampled_from(paths), _PATHS))) if paths else []
        found = [
            Import(f"{each.id}>{n}", into, (each.id, source))
            for n, (into, source) in enumerate(imports)
        ]
        held.append(
            replace(
                each,
                folders={path: f"{each.id}:{path}" for path in paths},
                imports={path: [i for i in found if i.folder == path] for path in paths},
            )
        )
    made = frozenset(draw(st.sets(st.sampled_from(_ids(held)))))
    counts = st.dictionaries(_PATHS, st.integers(1, 3), max_size=2)
    secrets = {each.slug: draw(counts) for each in environments}
    return Actual("o", environments=tuple(environments)), held, Memory({}, made), secrets


def _ids(held: list[EnvironmentState]) -> list[str]:
    return [
        id
        for each in held
        for id in (each.id, *each.folders.values(), *(i.id for i in each.all_imports))
    ]


@given(_situations())
def test_objects_of_others_are_deleted_only_with_a_typed_name(
    situation: _Situation,
) -> None:
    actual, held, memory, secrets = situation
    found = removals("p", memory, find_unnamed(WHOLE, actual, memory, held), secrets)
    gone = {each.id: each for each in found}
    assert len(gone) == len(found)
    assert gone.keys() <= memory.made
    for holding in held:
        slug, environment = holding.slug, gone.get(holding.id)
        assert not environment or slug not in STAGES
        inside = [("", environment)] if environment else []
        inside += [(path, gone[id]) for path, id in holding.folders.items() if id in gone]
        foreign = [path for path, id in holding.folders.items() if id not in memory.made]
        foreign += [each.folder for each in holding.all_imports if each.id not in memory.made]
        for place in [*foreign, *secrets[slug]]:
            around = [each for path, each in inside if f"{place}/".startswith(f"{path}/")]
            assert not around or any(each.name for each in around)
        desired = set(WHOLE.folders) if slug in STAGES else set()
        assert (
            not {holding.folders[path] for path in desired & holding.folders.keys()} & gone.keys()
        )


@given(_situations())
def test_all_made_objects_that_are_not_named_are_pruned(
    situation: _Situation,
) -> None:
    actual, held, memory, secrets = situation
    found = removals("p", memory, find_unnamed(WHOLE, actual, memory, held), secrets)
    gone = {each.id for each in found}
    for holding in held:
        if holding.slug not in STAGES and holding.id not in gone:
            assert not memory.made & {holding.id, *holding.folders.values()} - gone
