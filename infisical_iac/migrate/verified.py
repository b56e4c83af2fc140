"""The mark in a report that all of it was found again in Infisical, and when."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from infisical_iac import atomic
from infisical_iac.migrate.plan_file import MigrationError
from infisical_iac.migrate.report import REPORT, text_of
from infisical_iac.migrate.secret import Name
from infisical_iac.migrate.verify import Expected

VERIFIED_AT = "%Y-%m-%dT%H:%M:%SZ"
"""How the time is written."""


def mark_verified(directory: Path, wanted: Mapping[Name, Expected], at: datetime | None) -> None:
    """Write into the report that is in a directory, if one is, when its secrets were verified.

    Args:
        wanted: what was looked for; if the report has a secret that isn't in there, such as one
            of an earlier plan, it is not verified by that.
        at: None if they are not as they should be, which takes an earlier mark away.

    Raises MigrationError if it can't be read or written.
    """
    file = directory / f"{REPORT}.json"
    try:
        data = json.loads(file.read_bytes())
        is_all = all(_is_in(wanted, each) for each in data["secrets"])
        data["verified_at"] = at.strftime(VERIFIED_AT) if at and is_all else ""
        atomic.write(file, text_of(data))
    except FileNotFoundError:
        return
    except OSError as error:
        raise MigrationError(f"{file} can't be read or written: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise MigrationError(f"{file} is not what migrate apply writes: apply again") from None


def _is_in(wanted: Mapping[Name, Expected], secret: Mapping[str, Any]) -> bool:
    expected = wanted.get(Name(secret["environment"], secret["folder"], secret["key"]))
    return expected is not None and expected.digest == secret["digest"]
