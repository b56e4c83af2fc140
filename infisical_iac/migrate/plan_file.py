"""Read and write `migration.yaml`, the plan of a migration, and follow services renamed since.

People review the plan. It has no values, only keyed hashes of them. The key is in a file next to
the plan.
"""

import hmac
import os
import posixpath
import re
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.core.schema import Schema, explain_version
from infisical_iac.migrate.model import Name, join_reasons
from infisical_iac.workspace.document import format_place, parse, text_of
from infisical_iac.workspace.model import Workspace

KEY_FILE = "migration.key"

_BYTES = 32
_SHOWN = 12


def load_or_make(path: Path) -> bytes:
    """Return the key in `path`, 32 bytes that only its owner can read; create it if missing.

    Anyone with the key could guess a short secret from its hash. So the key goes neither into git
    nor to the readers of the plan.

    Raises FileError if it can't be read or made, is of another size, or others can read it.
    """
    try:
        if not path.exists():
            _make(path)
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise FileError(
            f"{path} can't be made or read ({error.strerror}): check its directory",
            code="file.plan_key",
        ) from None
    if len(key) != _BYTES:
        raise FileError(
            f"{path} is not a key of {_BYTES} bytes: remove it and plan again",
            code="file.plan_key_size",
        )
    if mode & 0o077:
        raise FileError(
            f"{path} can be read by others: run `chmod 600 {path}`", code="file.plan_key_mode"
        )
    return key


def _make(path: Path) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        # A link, unlike a rename, keeps the key that a faster run has made.
        path.hardlink_to(new)
    except FileExistsError:
        pass
    finally:
        new.unlink(missing_ok=True)


def digest(key: bytes, value: str) -> str:
    """Return the first 12 hex digits of the HMAC-SHA-256 of a value in UTF-8."""
    return hmac.digest(key, encode(value), "sha256").hex()[:_SHOWN]


def of_bytes(key: bytes, data: bytes) -> str:
    """Return the hex HMAC-SHA-256 of a file's bytes; a plain hash would reveal short secrets."""
    return hmac.digest(key, data, "sha256").hex()


def encode(value: str) -> bytes:
    """Return a value in UTF-8, the form in which it is compared, measured and sent."""
    return value.encode("utf-8", errors="surrogateescape")


PLAN_FILE = "migration.yaml"

FileDecision = Literal["store", "skip", "undecided"]
Decision = Literal["store", "store-resolved", "store-literal", "skip", "undecided"]

# The faster loader in C, if it is installed: a plan has a line for every key.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCHEMA = Schema(releases=("0.1.0",))
_HEAD = """\
# What `infisical-iac migrate apply` will do; review it and decide. No value is in this file: values
# and files have a hash, values also their length in bytes. The key of the hashes is in the file
# migration.key next to it.
#
#   store           the value goes into Infisical, as the file's grammar reads it
#   store-resolved  the same for a value that refers to other names, with these replaced
#   store-literal   the same for a value with ${NAME} in it as text, which Infisical replaces for
#                   clients that read it expanded; the loaders read it unexpanded
#   skip            the value stays in the file only
#   undecided       write one of the others: nothing is written while one key or file is undecided
#
# `grammar` decides how the file is read. The findings name another one where it reads a value as
# written, with each $ in it: write that one, then plan again. If none is named, put the value in
# single quotes in the file, and plan again.
# `decision: skip` on a source leaves the whole file out.
# `deleted: true` on a source: its file is gone, so nothing is read or written. `migrate verify` and
# `migrate history` still cover its secrets, until you delete the source here.
"""


def _relative(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{value!r} is not a path below the root; plan again")
    return value


def _name(value: str) -> str:
    if "/" in value or value in ("", ".", ".."):
        raise ValueError(f"{value!r} is not a file name; plan again")
    return value


class _PlanEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedFinding(_PlanEntry):
    """A finding on a line, with the remedy."""

    line: StrictInt
    kind: StrictStr
    message: StrictStr
    remedy: StrictStr


class PlannedKey(_PlanEntry):
    """A key of a file: its line, the length and hash of its value, and the decision."""

    line: StrictInt
    length: StrictInt
    digest: StrictStr
    decision: Decision
    findings: tuple[PlannedFinding, ...] = ()


class PlannedSource(_PlanEntry):
    """A file: its target, its grammar, and the decision on each key.

    Attributes:
        path: relative to the plan's root, with slashes.
        digest: the keyed hash of the file's bytes.
        loader: the loader that reads other files together with it, or "".
        layers: the names of these files, itself among them; the last one wins.
        release: a sentence on the release of the program, if others read it differently.
        deleted: whether the file was deleted after its keys were stored in Infisical.
        keys: by name, or by a label such as `line 7` for a name that can't be shown.
    """

    path: Annotated[StrictStr, AfterValidator(_relative)]
    digest: StrictStr
    service: StrictStr
    environment: StrictStr
    folder: StrictStr
    grammar: StrictStr
    why: StrictStr
    loader: StrictStr = ""
    layers: tuple[Annotated[StrictStr, AfterValidator(_name)], ...] = ()
    release: StrictStr = ""
    decision: FileDecision
    deleted: StrictBool = False
    findings: tuple[PlannedFinding, ...] = ()
    keys: dict[StrictStr, PlannedKey] = {}

    @property
    def reason(self) -> str:
        """Return the reason for the grammar, with that for its release."""
        return join_reasons(self.why, self.release)

    @property
    def target(self) -> tuple[str, str]:
        """Return the environment and the folder that its keys go to."""
        return self.environment, self.folder

    @property
    def stored_keys(self) -> dict[str, PlannedKey]:
        """Return the keys that go into Infisical, by name."""
        if self.decision != "store":
            return {}
        return {
            name: key
            for name, key in self.keys.items()
            if key.decision not in ("skip", "undecided")
        }


class MigrationPlan(_PlanEntry):
    """The whole plan.

    Attributes:
        project: the slug of the project that it was made for.
        root: the directory that paths of sources are relative to, relative to the plan's own.
    """

    schema_version: StrictInt = _SCHEMA.version
    project: StrictStr
    root: StrictStr
    sources: tuple[PlannedSource, ...] = ()

    @property
    def present_sources(self) -> list[PlannedSource]:
        """Return the files that are not deleted."""
        return [each for each in self.sources if not each.deleted]

    @property
    def deleted_sources(self) -> list[PlannedSource]:
        """Return the files that were deleted after their keys were stored in Infisical."""
        return [each for each in self.sources if each.deleted]

    def require_project(self, file: Path, workspace: Workspace) -> None:
        """Raise UserError if the plan, which is in `file`, was made for another project."""
        slug = workspace.project.slug
        if self.project != slug:
            raise UserError(
                f"{file} is a plan for the project {self.project}, but the project file is for "
                f"{slug}: give the right --project-file, or plan again",
                code="error.other_project",
            )


_CUT = re.compile(r"ends the value at the #.* reads (\d+ of \d+ characters)")


def describe_cut_values(plan: MigrationPlan) -> Iterator[str]:
    """Yield one line on the stored values that their grammar cuts at a `#`, if there are any.

    An undecided value is left out: the decision to make names it.
    """
    cut = [
        f"{source.path}:{each.line} {name}, {found[1]}"
        for source in plan.present_sources
        for name, each in source.keys.items()
        if source.decision != "skip" and each.decision not in ("skip", "undecided")
        if (found := _CUT.search(" ".join(one.message for one in each.findings)))
    ]
    if cut:
        values = "1 value is" if len(cut) == 1 else f"{len(cut)} values are"
        yield (
            f"~ {values} cut at a #: {'; '.join(cut)}. If the # is a part of the value, quote it "
            "in the file and plan again."
        )


def load(file: Path) -> MigrationPlan:
    """Read a plan.

    Raises FileError, with the line and the place of each mistake.
    """
    text = text_of(file, f"there is no {file}: make it with `infisical-iac migrate plan`")
    try:
        data = yaml.load(text, _Strict)
    except (yaml.YAMLError, RecursionError, ValueError):
        data = parse(text, file.name).data  # slower, but it names the place of the mistake
    if not isinstance(data, dict):
        raise FileError(
            f"{file} is not a plan: make one with `infisical-iac migrate plan`", code="file.plan"
        )
    stale = explain_version(data.get("schema_version", 1), _SCHEMA)
    if stale:
        raise FileError(f"{file.name}, schema_version: {stale}", code="file.plan_version")
    try:
        return MigrationPlan.model_validate(data)
    except ValidationError as error:
        document = parse(text, file.name)
        raise FileError(
            "; ".join(
                f"{file.name}, line {document.line(each['loc'])}, {format_place(each['loc'])}: "
                + each["msg"].removeprefix("Value error, ")
                for each in error.errors()
            ),
            code="file.plan_entry",
        ) from None


def dump(plan: MigrationPlan) -> str:
    """Return the text of a plan, from which `load` returns an equal plan."""
    data = {"schema_version": plan.schema_version}
    data |= plan.model_dump(mode="json", exclude_defaults=True)
    body = yaml.dump(
        data,
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        default_flow_style=None,  # a key without findings is one line so
        width=110,
        allow_unicode=True,
    )
    return f"{_HEAD}\n{body}"


class _Strict(_Loader):  # type: ignore[misc, valid-type]
    """Refuse a repeated key; YAML readers silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(made) < len(node.value):
            raise yaml.YAMLError
        return made


def load_key(file: Path) -> bytes:
    """Return the key of the hashes in a plan, from the file next to it.

    Raises FileError if it is missing or can't be used.
    """
    path = file.parent / KEY_FILE
    if not path.exists():
        raise FileError(
            f"there is no {path}, the key of the plan's hashes: plan again",
            code="file.no_plan_key",
        )
    return load_or_make(path)


def follow_renames(
    plan: MigrationPlan, workspace: Workspace, stored: Collection[Name] = ()
) -> MigrationPlan:
    """Return the plan with the present names and folders of services that were renamed.

    A folder that the project file names stays, such as a shared one that a person wrote.

    Args:
        stored: the secrets in Infisical. A former folder also stays while it has more of the
            source's secrets than the present one: the rename is not applied yet.
    """
    followed = tuple(_follow(each, workspace, stored) for each in plan.sources)
    return plan.model_copy(update={"sources": followed})


def _follow(source: PlannedSource, workspace: Workspace, stored: Collection[Name]) -> PlannedSource:
    name = workspace.renamed_services.get(source.service, "")
    if not name:
        return source
    renamed = source.model_copy(update={"service": name})
    if source.folder in ("", *workspace.folders):
        return renamed
    moved = renamed.model_copy(update={"folder": workspace.services[name].folder})
    return max(moved, renamed, key=lambda each: _count(each, stored))


def _count(source: PlannedSource, stored: Collection[Name]) -> int:
    return sum(Name(*source.target, key) in stored for key in source.stored_keys)


def former_folders(
    before: MigrationPlan, after: MigrationPlan, workspace: Workspace
) -> dict[str, set[str]]:
    """Return the former folders of renamed services, by their present one.

    These are the folders in the earlier plan, and the folders with a service's former name. A
    folder that the project file names is left out: it still belongs to a service.

    Args:
        after: the plan `before` as `follow_renames` returns it.
    """
    pairs = {
        (old.folder, new.folder) for old, new in zip(before.sources, after.sources, strict=True)
    }
    pairs |= {
        (former_folder(workspace, former, name), workspace.services[name].folder)
        for former, name in workspace.renamed_services.items()
    }
    found: dict[str, set[str]] = {}
    for old, new in pairs:
        # Infisical renames a folder only within its parent.
        if old not in ("", *workspace.folders) and posixpath.dirname(old) == posixpath.dirname(new):
            found.setdefault(new, set()).add(old)
    return found


def former_folder(workspace: Workspace, former: str, name: str) -> str:
    """Return the folder that a renamed service had if it had the service's former name."""
    return posixpath.join(posixpath.dirname(workspace.services[name].folder), former)


def unknown_services(plan: MigrationPlan, workspace: Workspace) -> Iterator[str]:
    """Yield a sentence on each service that stores secrets and that the project file lacks."""
    named = (each.service for each in plan.sources if each.stored_keys)
    for service in dict.fromkeys(named):
        if service and service not in workspace.services:
            yield (
                f"{service} in the plan is not a service of the project file: if it was renamed, "
                f"write `renamed_from: {service}` under its new name there, or the new name into "
                "the plan; if it was removed, delete its sources from the plan"
            )
