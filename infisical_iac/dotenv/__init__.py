"""Read .env files by the grammars of the programs that use them."""

from infisical_iac.dotenv.grammar import Grammar
from infisical_iac.dotenv.text import Entry, Finding

# This must come last, as it loads the grammars, which import the names above from here.
# isort: split
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
