"""Read .env files by the grammars of the programs that use them."""

from infisical_iac.dotenv.grammar import Grammar
from infisical_iac.dotenv.model import Entry, Finding
from infisical_iac.dotenv.reading import GRAMMARS, Reading, all_grammars, grammar, read, read_merged

__all__ = [
    "GRAMMARS",
    "Entry",
    "Finding",
    "Grammar",
    "Reading",
    "all_grammars",
    "grammar",
    "read",
    "read_merged",
]
