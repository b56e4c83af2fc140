"""Read from the report beside the plan which files were read back from Infisical."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from infisical_iac.migrate.cleaning import CleanError, Verified
from infisical_iac.migrate.verified import VERIFIED_AT

_NAME = "migration-report.json"
_RECENT = timedelta(hours=1)


class _Source(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    path: str
    digest: str
    service: str
    environment: str
    verified: bool
    keys: list[str]
    skipped: list[str] = []


class _Report(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    root: str
    sources: list[_Source]
    verified_at: str = ""


def verified_files(plan_file: Path) -> list[Verified]:
    """The files that were read back whole, everywhere that they go.

    Raises CleanError if there is no report, or no such file in it.
    """
    missing = set(unverified_files(plan_file))
    found = [
        Verified(
            path=each.path,
            digest=each.digest,
            service=each.service,
            environment=each.environment,
            keys=tuple(each.keys),
            skipped=tuple(each.skipped),
        )
        for each in _read_report(plan_file).sources
        if each.path not in missing
    ]
    if not found:
        raise CleanError(f"no file of {plan_file} is verified yet: run migrate apply")
    return found


def unverified_files(plan_file: Path) -> list[str]:
    """The paths of the files that were not, or not everywhere. Raises CleanError as above."""
    return sorted({each.path for each in _read_report(plan_file).sources if not each.verified})


def root_of_plan(plan_file: Path) -> Path:
    """The directory that the paths are relative to. Raises CleanError as above, or for none."""
    directory = (plan_file.parent / _read_report(plan_file).root).resolve()
    if not directory.is_dir():
        raise CleanError(f"{directory}, which was migrated, is not there: run this where it is")
    return directory


def require_recent(plan_file: Path, now: datetime) -> None:
    """Raise CleanError unless `migrate verify` found all unchanged within the last hour."""
    try:
        at = datetime.strptime(_read_report(plan_file).verified_at, VERIFIED_AT).replace(tzinfo=UTC)
    except ValueError:
        at = datetime.min.replace(tzinfo=UTC)
    if not timedelta() <= now - at <= _RECENT:
        raise CleanError(
            "nothing was deleted, for without an archive Infisical must have been looked at within "
            "the last hour: run `infisical-iac migrate verify` first"
        )


def _read_report(plan_file: Path) -> _Report:
    file = plan_file.with_name(_NAME)
    try:
        return _Report.model_validate_json(file.read_bytes())
    except OSError as error:
        raise CleanError(
            f"{file}, which says what is verified, can't be read ({error.strerror}): run migrate "
            "apply first"
        ) from None
    except ValidationError:
        raise CleanError(f"{file} is not what migrate apply writes: run it once more") from None
