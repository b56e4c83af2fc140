"""`infisical-iac migrate clean`: delete .env files whose secrets were verified in Infisical."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from infisical_iac.backup import kit_keys
from infisical_iac.check import proposals
from infisical_iac.check.repository import Repository
from infisical_iac.cli.migrate import plan_argument
from infisical_iac.cli.migrate import show as show_lines
from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    name_inventory,
    project_file_option,
    yes_option,
)
from infisical_iac.cli.output import confirm, print_notes, show
from infisical_iac.core import atomic
from infisical_iac.core.change import Change
from infisical_iac.core.errors import FileError, UserError, printable
from infisical_iac.core.terminal import console, echo
from infisical_iac.core.wording import join_first, join_names, pluralize
from infisical_iac.migrate import archive, cleaning, git, ignores
from infisical_iac.migrate.cleaning import (
    Examined,
    KeptFile,
    MovedFile,
    delete,
    examine_files,
    examine_login_files,
    read_report,
)
from infisical_iac.migrate.plan_file import load_key
from infisical_iac.workspace.load import declared_file, load

_UNVERIFIED = "not all of it was read back: see migration-report.html"
_NAMED = 10  # the most services that one line names
_file = LocalPath(exists=True, dir_okay=False)


# The keys that the archive is encrypted for, and those that prove that it opens. Without the former
# no archive is written.
_Keys = tuple[Sequence[kit_keys.Public], Sequence[kit_keys.Identity]]


@dataclass(frozen=True)
class _Plan:
    examined: Examined
    additions: Sequence[ignores.Addition]
    examples: Sequence[Path]
    archive: Path | None
    patch: Path | None = None
    proposed: Sequence[proposals.Proposal] = ()


@click.command()
@plan_argument
@name_inventory(help="The inventory; its settings name the project file.", connects=False)
@project_file_option("--workspace-file")
@click.option(
    "--recipient",
    multiple=True,
    metavar="KEY",
    help="Public key that can open the archive: a line that begins with age1, ssh-ed25519 or "
    "ssh-rsa; may be given again.",
)
@click.option(
    "--recipients-file",
    type=_file,
    help="File of public keys that can open the archive, such as ~/.ssh/id_ed25519.pub.",
)
@click.option(
    "--identity", type=_file, help="Private key of a recipient, to prove that the archive opens."
)
@click.option(
    "--no-archive",
    is_flag=True,
    help="Delete without an archive; allowed within an hour of `migrate verify`.",
)
@yes_option
@click.pass_context
def clean(
    ctx: click.Context,
    file: Path,
    inventory: str,
    project_file: Path | None,
    recipient: tuple[str, ...],
    recipients_file: Path | None,
    identity: Path | None,
    no_archive: bool,
    yes: bool,
) -> None:
    """Delete the .env files that `migrate apply` has verified, after writing an encrypted archive.

    PLAN is the file that `migrate plan` wrote, by default migration.yaml.

    A file is deleted, and removed from git's index, only if it is byte for byte the one that was
    read back from Infisical. Ignore rules and a .env.local.example with the variables of
    credentials are added, and places that still mention the old files are listed.

    For README files, other documents, Dockerfiles, compose files and CI, changes are proposed in
    migration.patch next to the plan: review it, and apply it with `git apply`.

    Files that hold only credentials, or that the plan skips as a whole, are kept. A service that
    loses files and has no loader, as `infisical-iac check` reports it, is named (✗) before the
    question: it can't start then.

    Exit status: 0 when every other file is deleted; 2 when some are kept; 1 for an error, or if
    you answer no.
    """
    keys = _keys(recipient, recipients_file, identity, no_archive=no_archive)
    root, report = read_report(file)
    key = load_key(file)
    plan = _plan(root, report.verified_files, key, archived=not no_archive)
    repository = _read_repository(root, project_file or declared_file(inventory))
    moved_files = [*report.verified_files, *report.deleted]
    if repository:
        plan = _with_proposals(plan, repository, file.with_name(proposals.FILE), moved_files)
    if plan.archive and not keys[0]:
        raise UserError(
            "nothing was deleted, because no public key is given to encrypt the archive for: add "
            "--recipients-file ~/.ssh/id_ed25519.pub, or --recipient age1… with a key that "
            "`age-keygen -o FILE` makes and prints, or --no-archive",
            code="error.no_recipient",
        )
    plan.examined.kept.extend(
        KeptFile(path, _UNVERIFIED, "file.not_verified") for path in sorted(report.unverified_paths)
    )
    left, changed = examine_login_files(root, report.login_files, key)
    plan.examined.kept.extend(changed)
    _show(root, plan)
    for path in left:
        echo(printable(f"{path} stays: it holds only login variables."))
    _show_left_out(root, report.left_out_paths)
    moved = [each.path for each in moved_files]
    if moved:
        _show_references(root, file, moved)
    stopped = _find_services_without_loader(repository, plan.examined) if repository else {}
    show_lines(f"✗ {each}" for each in stopped.values())
    if no_archive and plan.examined.ready:
        report.require_recent(datetime.now(UTC))
    kept = plan.examined.kept
    if plan.examined.ready or plan.additions or plan.examples or plan.patch:
        names = join_names(stopped)
        risk = f" {names} can't start then (✗)." if names else ""
        confirm(f"Make these changes?{risk}", yes=yes)
        kept = [*kept, *_run(root, plan, keys, key)]
    else:
        echo("Nothing to do.")
    ctx.exit(FOUND if kept else 0)


def _keys(
    texts: Iterable[str], file: Path | None, identity: Path | None, *, no_archive: bool
) -> _Keys:
    lines = [*texts, *(_read(file).splitlines() if file else [])]
    if no_archive and (lines or identity):
        raise UserError("--no-archive takes no keys: leave out the keys, or --no-archive")
    known = kit_keys.identities(_read(identity)) if identity else []
    return [each.key for each in kit_keys.parse_lines(lines)], known


def _read(file: Path) -> str:
    return file.read_text("utf-8", errors="replace")


def _plan(root: Path, files: Sequence[MovedFile], key: bytes, *, archived: bool) -> _Plan:
    paths = [each.path for each in files]
    examined = examine_files(root, files, key, archived=archived)
    inside = [path for path in paths if path not in {each.path for each in examined.kept}]
    target = archive.path(root, datetime.now(UTC)) if archived and examined.ready else None
    return _Plan(examined, ignores.plan(root, inside), cleaning.plan(root, inside), target)


def _show(root: Path, plan: _Plan) -> None:
    changes = [
        Change("~" if each.file.exists() else "+", _name(root, each.file), ", ".join(each.lines))
        for each in plan.additions
    ]
    changes += [Change("+", _name(root, each)) for each in plan.examples]
    if plan.archive:
        ignored = ", ignored by git" if git.top(root) else ""
        changes.append(Change("+", _name(root, plan.archive), f"an encrypted archive{ignored}"))
    if plan.patch:
        named = join_first([each.path for each in plan.proposed], _NAMED)
        detail = f"proposed changes to {named}"
        changes.append(Change("~" if plan.patch.exists() else "+", plan.patch.name, detail))
    for ready in plan.examined.ready:
        file = ready.file
        detail = f"{pluralize(len(file.keys), 'key')} of {file.service} in {file.environment}"
        detail += ", tracked by git" if ready.is_tracked else ""
        detail += f"; not in Infisical: {', '.join(file.skipped)}" if file.skipped else ""
        changes.append(Change("-", file.path, detail))
    show(changes, _lines_of(plan.examined.kept))


def _read_repository(root: Path, project_file: Path) -> Repository | None:
    """Return the repository with its services; None, with a note, without a project file."""
    try:
        return Repository(root, load(project_file))
    except UserError as error:
        print_notes([f"could not check whether services have a loader: {error}"])
        return None


def _with_proposals(
    plan: _Plan, repository: Repository, patch: Path, files: Sequence[MovedFile]
) -> _Plan:
    """Return the plan with a patch, unless it exists already or would be empty."""
    renamed = repository.workspace.renamed_services
    services = list(dict.fromkeys(renamed.get(each.service, each.service) for each in files))
    found = proposals.propose(repository, services)
    text = proposals.as_patch(found).encode()
    if not found or (patch.is_file() and patch.read_bytes() == text):
        return plan
    return replace(plan, patch=patch, proposed=found)


def _find_services_without_loader(repository: Repository, examined: Examined) -> dict[str, str]:
    """Return a sentence on each service that loses files and has no loader, by its name."""
    services = {each.file.service for each in examined.ready}
    names = {repository.workspace.renamed_services.get(each, each) for each in services}
    if unknown := sorted(names - repository.services.keys()):
        print_notes(
            [
                f"could not check whether there is a loader for {join_first(unknown, _NAMED)}: "
                f"the project file assigns no directory of {repository.root} to it"
            ]
        )
    found = repository.describe_unready_services()
    return {name: sentence for name, sentence in found.items() if name in names}


def _show_left_out(root: Path, paths: Sequence[str]) -> None:
    there = [path for path in paths if (root / path).exists()]
    for path in there:
        echo(printable(f"{path} stays: the plan skips it, so it is left to its owner."))
    if unread := [path for path in there if cleaning.has_unread_values(root, path)]:
        names = printable(join_first(unread, _NAMED))
        echo(
            "The loaders read only INFISICAL_* and NODE_ENV from .env.local. To keep the values of "
            f"{names}, put them there below a line `# overrides`: `infisical-iac docs develop`, "
            "Every day."
        )


def _lines_of(kept: Iterable[KeptFile]) -> list[str]:
    return [printable(str(each)) for each in kept]


def _name(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def _show_references(root: Path, plan_file: Path, paths: Sequence[str]) -> None:
    resolved = plan_file.resolve()
    own = [_name(root, resolved)] if resolved.is_relative_to(root) else []
    found = cleaning.search(root, paths, own)
    to = console()
    if found.references:
        to.print("\nThese places still mention or load the files:")
    for each in found.references:
        to.print(Text(printable(f"  {each}")))
    if found.more:
        to.print(f"  … and more than {cleaning.LIMIT}: change these, then run this again.")
    for path in found.unread:
        to.print(Text(printable(f"  {path} was not searched: it is too large, or can't be read.")))
    to.print()


def _run(root: Path, plan: _Plan, keys: _Keys, key: bytes) -> list[KeptFile]:
    """Make the changes, with the deletions last; return the files that were kept nevertheless."""
    archive.remove_unfinished(root)
    for addition in plan.additions:
        ignores.write(addition)
    for example in plan.examples:
        cleaning.write(example)
    if plan.patch:
        with atomic.explain_failure(plan.patch):
            # The patch quotes lines of these files, which may be next to secrets.
            atomic.write(plan.patch, proposals.as_patch(plan.proposed), mode=0o600)
    if plan.archive:
        if git.top(root) and not git.is_ignored(plan.archive):
            raise FileError(
                f"git would not ignore {plan.archive}, so nothing was deleted: see the output of "
                f"git check-ignore -v {plan.archive.name}"
            )
        contents = {each.file.path: each.data for each in plan.examined.ready}
        archive.write(plan.archive, contents, *keys)
        echo(f"To restore: age -d -i KEY {plan.archive.name} | tar x, in {root}")
    kept = [why for each in plan.examined.ready if (why := delete(root, each, key))]
    show([], _lines_of(kept))
    echo(f"Deleted {pluralize(len(plan.examined.ready) - len(kept), 'file')}.")
    if plan.patch:
        at = shlex.quote(str(plan.patch.resolve()))
        echo(f"Review {plan.patch}, then `cd {shlex.quote(str(root))} && git apply {at}`.")
    if any(each.is_tracked for each in plan.examined.ready):
        echo(
            "git's history still has what was tracked: commit, and rotate the values that "
            f"`infisical-iac migrate history {shlex.quote(str(root))}` lists, as it did before."
        )
    if len(kept) < len(plan.examined.ready):
        echo(f"Next: `infisical-iac check {shlex.quote(str(root))}`.")
    return kept
