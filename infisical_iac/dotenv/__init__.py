"""Reading .env files as the programs that use them do: there is no one grammar."""

from infisical_iac.dotenv.model import Entry, Finding, Reading
from infisical_iac.dotenv.reading import GRAMMARS, read

__all__ = ["GRAMMARS", "Entry", "Finding", "Reading", "read"]
