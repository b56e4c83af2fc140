"""Find the `.env` files of trees, each with its grammar, target and findings."""

import os
import posixpath
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from infisical_iac.core.errors import FileError
from infisical_iac.core.wording import join_first
from infisical_iac.dotenv import GRAMMARS, Finding, Reading, read
from infisical_iac.migrate import find, findings
from infisical_iac.migrate.cascades import (
    OVERRIDDEN,
    PERSONAL_OVERRIDE,
    Layered,
    Spot,
    find_overridden,
    is_read,
    layers,
    of_modes,
    paths,
    read_in,
)
from infisical_iac.migrate.comparison import compare_files, compare_with_samples
from infisical_iac.migrate.evidence import ReleaseChoice, names_of_program
from infisical_iac.migrate.find import Content, service_of
from infisical_iac.migrate.findings import (
    ENCRYPTED,
    disagreements,
    find_encryption,
    is_bootstrap,
    is_encrypted_copy,
    of_entries,
    require_decision_on_cut,
    safe_name,
    with_outcomes,
)
from infisical_iac.migrate.git import repository_of, tracked_paths
from infisical_iac.migrate.loaders import Choice, LoaderDetection
from infisical_iac.migrate.model import FileFinding, Name, Source
from infisical_iac.migrate.summary import PERSONAL_FILE, describe_personal_file
from infisical_iac.workspace import local_file
from infisical_iac.workspace.model import Workspace


class Tree(NamedTuple):
    """A directory, and the chosen paths below it; None chooses all of its `.env` files."""

    root: Path
    only: frozenset[str] | None = None


def trees(paths: Sequence[Path]) -> list[Tree]:
    """Return the trees of directories and files; files of one tree are together.

    A file's tree is the git working tree around it, or else its directory: the files around it show
    its service and its loader.

    Raises FileError for a path within another one, which would be scanned twice.
    """
    _refuse_nested(paths)
    found: dict[Path, Tree] = {}
    for path in paths:
        if path.is_dir():
            found[path] = Tree(path)
            continue
        file = path.parent.resolve() / path.name
        root = repository_of(file.parent) or file.parent
        others = found[root].only if root in found else None
        found[root] = Tree(root, (others or frozenset()) | {file.relative_to(root).as_posix()})
    return list(found.values())


def _refuse_nested(paths: Iterable[Path]) -> None:
    named = [(path, path.resolve()) for path in paths]
    for index, (path, whole) in enumerate(named):
        others = (other for _, other in named[:index] + named[index + 1 :])
        if outer := next((other for other in others if whole.is_relative_to(other)), None):
            raise FileError(
                f"{path} is in {outer}, which is scanned too: name one of them", code="file.nested"
            )


def source(
    root: Path,
    path: str,
    choice: Choice,
    workspace: Workspace,
    *,
    content: Content,
    is_tracked: bool,
    layers: tuple[str, ...] = (),
    declared: Mapping[str, str] | None = None,
) -> Source:
    """Return a file with its target, its reading, and the findings that depend on no other service.

    Args:
        choice: the loader that reads it today.
        content: returns the bytes of files under `root`.
        is_tracked: whether git tracks it.
        layers: the names of the files that its loader reads with it, as in `cascades.layers`.
        declared: services by the directories whose `.infisical.json` names their folder.

    A file that can't be read is a source without entries and with a finding that blocks.
    """
    data, problem = content(path)
    how = "Correct it."
    if not problem and (program := find_encryption(posixpath.basename(path), data)):
        problem = f"It is encrypted by {program}, so no value can be read from it."
        how = "Decrypt it and plan again."
    release = ""
    slugs = [each.slug for each in workspace.environments]
    place = spot(path, choice, slugs)._replace(layers=layers)
    service = service_of(path, root.resolve().name, choice.readers, workspace, declared=declared)
    if problem:
        found = [Finding(0, "unreadable-file", "", problem, how)]
        layered = Layered(Reading(place.grammar, (), (), problem), {}, {})
    else:
        others = {each: content(each) for each in paths(place) if each != path}
        contents = {each: there for each, (there, why_not) in others.items() if not why_not}
        contents[path] = find.shared_part(path, data)
        layered = read_in(place, contents)
        found = _find_all(place, layered, contents, choice)
        release = _describe_release(contents[path], choice)
        if release and choice.release and choice.release.others:
            found.append(_find_release(choice.release, place.grammar))
    made = Source(
        path,
        service,
        place.environment,
        workspace.services[service].folder if service else "",
        place.grammar,
        choice.evidence.why,
        data,
        layered.reading,
        loader=place.loader,
        layers=layers,
        overridden=frozenset(layered.overridden),
        release=release,
    )
    found += _of_place(made, slugs, is_tracked=is_tracked)
    return replace(made, findings=tuple(FileFinding.of(path, each) for each in found))


def _describe_release(data: bytes, choice: Choice) -> str:
    """Return the sentence on the program's release; "" if all releases read this file alike."""
    if not choice.release:
        return ""
    first, *others = (read(data, each).values for each in names_of_program(choice.release.grammar))
    return choice.release.why if any(each != first for each in others) else ""


def _find_release(release: ReleaseChoice, grammar: str) -> Finding:
    """Return the note on a release that is not certain, although it decides how a file is read."""
    message = (
        f"Releases of Node read it differently, and {release.why}: it is read as {release.grammar}."
    )
    remedy = "Let its Dockerfile, .nvmrc and engines name the release that runs it, and plan again"
    if release.grammar == grammar:
        other = " or ".join(f"`grammar: {each}`" for each in release.others)
        remedy += f"; or write {other} on this file"
    return Finding(0, "uncertain-release", "", message, f"{remedy}.")


def spot(path: str, choice: Choice, slugs: Sequence[str]) -> Spot:
    """Return the properties of a file that decide which other files are read with it."""
    sign = choice.evidence
    return Spot(path, find.environment_of(path, slugs), sign.grammar, sign.loader)


def _encrypted_copies(
    root: Path, paths: Iterable[str], content: Content, workspace: Workspace
) -> Iterator[Source]:
    """Yield the encrypted copies, such as `.env.age`, each with one note; no loader reads them."""
    for path in paths:
        name = posixpath.basename(path)
        data = content(path)[0] if is_encrypted_copy(name) else b""
        if program := find_encryption(name, data):
            message = f"It is encrypted by {program}: no loader reads it, and it is left out."
            remedy = "If its values are nowhere else, decrypt it and plan again."
            note = FileFinding.of(path, Finding(0, ENCRYPTED, "", message, remedy))
            service = service_of(path, root.resolve().name, (), workspace)
            why, nothing = f"encrypted by {program}", Reading(GRAMMARS[0], (), ())
            yield Source(path, service, "", "", GRAMMARS[0], why, data, nothing, (note,))


# The kinds of findings on lines that are not migrated; others describe outcomes of a migration.
_OF_LINES_NOT_MOVED = frozenset(
    {"bootstrap-key", OVERRIDDEN, "duplicate-key", "cut-at-line-end", findings.TORN}
)


def _find_all(
    place: Spot, layered: Layered, contents: Mapping[str, bytes], choice: Choice
) -> list[Finding]:
    """Return the findings that a file shows by itself, one for each cause.

    Args:
        contents: the bytes of the file and of those read with it, by path.
    """
    reading, data = layered.reading, contents[place.path]
    overriding = [*find_overridden(place, layered, contents)]
    found = [*_of_reading(reading, data, choice), *overriding]
    left_out = {each.key for each in overriding if each.kind == OVERRIDDEN and each.key}
    left_out.update(filter(is_bootstrap, reading.values))
    is_personal = find.is_personal(posixpath.basename(place.path))
    return [
        each
        for each in found
        if each.key not in left_out or each.kind in _OF_LINES_NOT_MOVED
        # A person's own configuration does not belong in the code.
        if not (is_personal and each.kind == "plain-configuration")
    ]


def _of_reading(reading: Reading, data: bytes, choice: Choice) -> Iterator[Finding]:
    values = reading.values
    is_login = bool(values) and all(map(is_bootstrap, values))  # none of it is migrated
    if not choice.evidence.exact and not is_login:
        known = (
            "The program that reads it is unknown or has its own rules: it is read as "
            f"{reading.grammar}."
        )
        remedy = (
            "Compare the values with those that the service sees, above all where grammars "
            "disagree."
        )
        yield Finding(0, "nearest-grammar", "", known, remedy)
    disagreeing = [*disagreements(data, reading, choice.others)]
    disputed = {each.line for each in disagreeing}  # those findings have the outcomes
    undefined = {each.line for each in reading.findings if each.kind == "undefined-reference"}
    causes: dict[int, str] = {}
    for each in reading.findings:
        if each.kind == "interpolated":
            continue  # `resolved` describes the stored value
        if each.kind == findings.CUT and each.line in disputed | undefined:
            causes[each.line] = f"{each.message} "
            continue
        if each.kind == "undefined-reference" and each.line not in disputed:
            each = with_outcomes(each, data, reading)
            each = each._replace(message=f"{causes.get(each.line, '')}{each.message}")
        refuses = bool(reading.error) and each.message == reading.error
        kind = "unreadable-file" if refuses else each.kind
        key = safe_name(each.key, values.get(each.key, ""))
        yield require_decision_on_cut(each._replace(kind=kind, key=key))
    for each in of_entries(reading):
        if each.kind != "resolved" or each.line not in disputed:  # it is not decided yet
            yield each
    for each in disagreeing:
        yield each._replace(message=f"{causes.get(each.line, '')}{each.message}")


def _of_place(made: Source, slugs: Sequence[str], *, is_tracked: bool) -> Iterator[Finding]:
    if not made.service:
        message = "No service in the project file has the name or the folder of its directory."
        remedy = (
            "Add the service there by `infisical-iac init --add-service NAME=PATH`, apply, and "
            "plan again; or write the `service` and `folder` of one that is there, and "
            "`decision: store`, on this file; or leave it out: `decision: skip`."
        )
        yield Finding(0, "no-service", "", message, remedy)
    if not made.environment:
        message = f"Its name fits none of the environments {', '.join(slugs)}."
        remedy = (
            "Write one as `environment`, and `decision: store`, on this file; or leave it out: "
            "`decision: skip`."
        )
        yield Finding(0, "no-environment", "", message, remedy)
    count = sum(not is_bootstrap(key) for key in made.reading.values)
    if find.is_personal(posixpath.basename(made.path)) and count:
        message = (
            f"It is one person's own file, and {count} of its keys would go to everybody who reads "
            f"{made.environment or 'an environment'}."
        )
        remedy = (
            "Leave them to that person: `decision: skip` on this file; give them to everybody: "
            "`decision: store` on this file. Then plan again."
        )
        yield Finding(0, PERSONAL_FILE, "", message, remedy)
    if is_tracked:
        message = "Git tracks it: its values are in every clone and in the history."
        remedy = "Rotate them after the move; `migrate clean` takes the file out of the index."
        yield Finding(0, "tracked", "", message, remedy)


def find_own_files(found: Iterable[Tree]) -> list[str]:
    """Return the `.env.override` files of trees, which are one person's and are not migrated."""
    found = list(found)
    return [
        (root / path).as_posix() if len(found) > 1 else path
        for root, only in found
        for path in find.walk(root)
        if posixpath.basename(path) == find.OWN_FILE and (only is None or path in only)
    ]


def scan_all(
    paths: Sequence[Path],
    workspace: Workspace,
    left_out: Container[Path] = (),
    moved: Iterable[Name] = (),
) -> list[Source]:
    """Return the `.env` files of directories, with all findings, and single files.

    Samples, and the overrides of one person in `.env.override`, are left out.

    They are sorted by path; with several trees, each path begins with that of its tree.

    Args:
        left_out: absolute paths of files without which the others are read, although their loader
            reads them together.
        moved: the secrets of files that were migrated and no longer exist.

    Raises FileError for a directory that can't be listed, a repository that git can't read, and a
    path within another one.
    """
    found = trees(paths)
    sources: list[Source] = []
    for tree in found:
        for each in _sources(tree, workspace, left_out):
            if len(found) > 1:
                place = f"{tree.root.as_posix()}/"
                findings = tuple(replace(one, file=f"{place}{one.file}") for one in each.findings)
                each = replace(each, path=f"{place}{each.path}", findings=findings)
            sources.append(each)
    return with_findings(_add_outcomes_of_skip(sources, moved), compare_files(sources))


def _sources(tree: Tree, workspace: Workspace, left_out: Container[Path]) -> list[Source]:
    """Return the sources of a tree, with the findings that depend on the files next to them."""
    root, only = tree
    paths = find.walk(root)
    detection = LoaderDetection(paths, partial(find.text, root))
    named = {path for path in paths if find.is_env(posixpath.basename(path))} | (only or set())
    named = {path for path in named if posixpath.basename(path) != find.OWN_FILE}
    content = cache(partial(find.content, root))
    encrypted = [*_encrypted_copies(root, named, content, workspace)]
    named -= {each.path for each in encrypted}
    chosen = {path: detection.choose(path) for path in sorted(named)}
    samples = [path for path in chosen if _is_sample(path, chosen[path], only or ())]
    slugs = [each.slug for each in workspace.environments]
    spots = [spot(path, chosen[path], slugs) for path in chosen if path not in samples]
    aside = {e.path for e in spots if Path(os.path.abspath(root / e.path)) in left_out}
    layers_by_path = layers(spots) | layers(each for each in spots if each.path not in aside)
    in_git = tracked_paths(root, layers_by_path)
    declared = _declared_services(root, paths, workspace)
    sources = [
        source(
            root,
            path,
            chosen[path],
            workspace,
            content=content,
            is_tracked=path in in_git,
            layers=layers_by_path[path],
            declared=declared,
        )
        for path in sorted(layers_by_path)
    ]
    sources = [replace(each, is_left_out=each.path in aside) for each in sources]
    contents = {path: content(path)[0] for path in samples}
    sources = with_findings(sources, [*of_modes(sources), *compare_with_samples(sources, contents)])
    sources = sorted([*sources, *encrypted], key=lambda each: each.path)
    return [each for each in sources if only is None or each.path in only]


def _declared_services(root: Path, paths: Iterable[str], workspace: Workspace) -> dict[str, str]:
    """Return the services by the directories whose `.infisical.json` names their folder."""
    folders = {service.folder: name for name, service in workspace.services.items()}
    found: dict[str, str] = {}
    for path in paths:
        directory, name = posixpath.split(path)
        if name == local_file.NAME:
            with suppress(FileError):  # `infisical-iac check` reports it
                folder = local_file.parse(find.text(root, path)).folder
                found[directory] = folders.get(folder, "")
    return found


_NAMED = 10  # keys on one line


def _add_outcomes_of_skip(sources: Sequence[Source], moved: Iterable[Name]) -> list[Source]:
    """Return all sources; findings on personal files list the keys that no shared file has.

    A shared file counts if it goes to the same place, even if it is migrated and deleted.
    """
    shared: dict[tuple[str, str], set[str]] = {}
    for name in moved:
        shared.setdefault(name[:2], set()).add(name.key)
    for each in sources:
        if not find.is_personal(posixpath.basename(each.path)):
            keys = {key for key in each.reading.values if not is_bootstrap(key)}
            shared.setdefault(each.target, set()).update(keys)
    made = []
    for each in sources:
        more = _describe_skip(each, shared.get(each.target, set())) if all(each.target) else ""
        conflicts = _count_overrides(each, sources)
        findings = tuple(
            replace(one, message=describe_personal_file(f"{one.message} {more}".strip(), conflicts))
            if one.kind == PERSONAL_FILE
            else one
            for one in each.findings
        )
        made.append(replace(each, findings=findings))
    return made


def _count_overrides(source: Source, sources: Iterable[Source]) -> int:
    """Return the number of keys whose value in a personal file differs from a shared one."""
    keys = {
        one.key
        for each in sources
        if source.path in paths(each) and not find.is_personal(posixpath.basename(each.path))
        for one in each.findings
        if one.kind == PERSONAL_OVERRIDE
    }
    return len(keys & source.reading.values.keys())


def _describe_skip(source: Source, shared: Set[str]) -> str:
    """Return a sentence on the keys that a service lacks without a personal file; "" for none.

    Args:
        shared: the keys of shared files that go to the same place.
    """
    values = source.reading.values
    lacks = [key for key in values if key not in shared and not is_bootstrap(key)]
    if not lacks:
        return ""
    shown = (safe_name(key, values[key]) or f"line {source.line(key)}" for key in lacks)
    names, place = join_first(shown, _NAMED), f"{source.service} in {source.environment}"
    if shared:
        return f"After `skip`, {place} lacks {names}, which no shared file has."
    return (
        f"No shared file has anything for {place}: after `skip`, it lacks {names} and can't start "
        "there."
    )


def _is_sample(path: str, choice: Choice, meant: Container[str]) -> bool:
    name = posixpath.basename(path)
    is_meant = path in meant or is_read(choice.evidence.loader, name)
    return find.is_sample(name) and not is_meant


def with_findings(sources: Sequence[Source], found: Iterable[FileFinding]) -> list[Source]:
    """Return the sources with further findings added, in the order of lines."""
    more: dict[str, list[FileFinding]] = {}
    for one in found:
        more.setdefault(one.file, []).append(one)
    made = []
    for each in sources:
        findings = [*each.findings, *more.get(each.path, ())]
        findings.sort(key=lambda one: (one.line, not one.blocking))
        made.append(replace(each, findings=tuple(findings)))
    return made
