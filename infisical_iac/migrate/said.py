"""A grammar that a person wrote into a plan, in place of the one that was found."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from infisical_iac.dotenv import GRAMMARS
from infisical_iac.migrate.loaders import Choice
from infisical_iac.migrate.model import Source
from infisical_iac.migrate.plan_file import Plan
from infisical_iac.migrate.signs import Sign
from infisical_iac.migrate.source import source as read_source
from infisical_iac.workspace.model import Workspace

SAID = "the plan says so"

# Findings on where a file is and what is in others, whatever its grammar.
_AROUND = frozenset(
    {
        *("no-service", "no-environment", "tracked", "missing", "not-in-sample"),
        *("same-target", "same-value", "shared-candidate", "differs-across-services"),
    }
)


def as_said(
    sources: Iterable[Source], earlier: Plan | None, root: Path, workspace: Workspace
) -> list[Source]:
    """The sources, of which those are read anew whose grammar was changed in an earlier plan.

    It was changed by a person if what was found then is what is found now.

    Args:
        root: the directory that the sources' paths begin in.
    """
    before = {each.path: each for each in earlier.sources} if earlier else {}
    made = []
    for source in sources:
        said = before.get(source.path)
        if said and said.grammar != source.grammar and said.why in (source.why, SAID):
            source = _anew(source, said.grammar, root, workspace)
        made.append(source)
    return made


def _anew(source: Source, grammar: str, root: Path, workspace: Workspace) -> Source:
    if grammar not in GRAMMARS:
        return source
    choice = Choice(Sign(grammar, SAID), others=(), readers=())
    fresh = read_source(root, source.path, choice, workspace, is_tracked=False)
    around = (each for each in source.findings if each.kind in _AROUND)
    inside = (each for each in fresh.findings if each.kind not in _AROUND)
    return replace(
        source,
        grammar=grammar,
        why=SAID,
        data=fresh.data,
        reading=fresh.reading,
        loader="",
        layers=(),
        overridden=frozenset(),
        findings=(*around, *inside),
    )
