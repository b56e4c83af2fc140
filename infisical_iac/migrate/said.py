"""A grammar that a person wrote into a plan, in place of the one that was found."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from infisical_iac.dotenv import GRAMMARS
from infisical_iac.migrate import files
from infisical_iac.migrate.comparison import KINDS, compare_files
from infisical_iac.migrate.evidence import Evidence
from infisical_iac.migrate.loaders import Choice
from infisical_iac.migrate.model import Source
from infisical_iac.migrate.plan_file import Plan
from infisical_iac.migrate.source import source as read_source
from infisical_iac.migrate.sources import with_findings
from infisical_iac.workspace.model import Workspace

CHOSEN = "the plan says so"

# Findings on where a file is, whatever its grammar.
_AROUND = frozenset({"no-service", "no-environment", "tracked", "missing", "not-in-sample"})


def apply_chosen_grammars(
    sources: Sequence[Source], earlier: Plan | None, root: Path, workspace: Workspace
) -> list[Source]:
    """The sources, of which those are read anew whose grammar was changed in an earlier plan.

    It was changed by a person if what was found then is what is found now.

    Args:
        root: the directory that the sources' paths begin in.
    """
    before = {each.path: each for each in earlier.sources} if earlier else {}
    made = []
    for source in sources:
        chosen = before.get(source.path)
        if chosen and chosen.grammar != source.grammar and chosen.why in (source.why, CHOSEN):
            source = _anew(source, chosen.grammar, root, workspace)
        made.append(source)
    return _seen_together(made) if made != list(sources) else made


def _seen_together(sources: Sequence[Source]) -> list[Source]:
    """The sources with what across all of them is found by now."""
    own = (tuple(one for one in each.findings if one.kind not in KINDS) for each in sources)
    alone = [replace(each, findings=found) for each, found in zip(sources, own, strict=True)]
    return with_findings(alone, compare_files(alone))


def _anew(source: Source, grammar: str, root: Path, workspace: Workspace) -> Source:
    if grammar not in GRAMMARS:
        return source
    choice = Choice(Evidence(grammar, CHOSEN), others=(), readers=())
    content = partial(files.content, root)
    fresh = read_source(root, source.path, choice, workspace, content=content, is_tracked=False)
    around = (each for each in source.findings if each.kind in _AROUND)
    inside = (each for each in fresh.findings if each.kind not in _AROUND)
    return replace(
        source,
        grammar=grammar,
        why=CHOSEN,
        data=fresh.data,
        reading=fresh.reading,
        loader="",
        layers=(),
        overridden=frozenset(),
        findings=(*around, *inside),
    )
