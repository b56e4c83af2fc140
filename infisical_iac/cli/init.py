"""`infisical-iac init`: ask the questions of a first deploy, and write the user's repository."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from infisical_iac.backup.target import remote_prefixes
from infisical_iac.change import tool_versions
from infisical_iac.cli import init_again
from infisical_iac.cli.init_again import Additions
from infisical_iac.cli.init_questions import (
    TestedServer,
    ask_backup,
    ask_domain,
    ask_harden,
    ask_isolation,
    ask_login,
    ask_mail,
    ask_monitoring,
    ask_question,
    ask_server,
    explain_authority,
    explain_named_key,
    find_differences,
    find_named_key,
    inspect_server,
    prompt,
    read_file,
    show_difference,
    write_files,
)
from infisical_iac.cli.options import LocalPath, accept_host_key_option
from infisical_iac.cli.output import confirm, print_notes, show
from infisical_iac.core import bundle
from infisical_iac.core.bundle import default_settings
from infisical_iac.core.change import Change
from infisical_iac.core.errors import FileError, SettingsError, printable
from infisical_iac.core.own_repository import KNOWN_HOSTS, PYPROJECT
from infisical_iac.core.terminal import echo
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.init import answers, repository
from infisical_iac.init.answers import Answers
from infisical_iac.init.repository import Pipeline
from infisical_iac.init.services import FoundService, find_services, name_services
from infisical_iac.init.upgrade import (
    Upgraded,
    upgrade_pin,
    upgrade_project_text,
    upgrade_settings_text,
)
from infisical_iac.monitoring.settings import KINDS
from infisical_iac.workspace import local_file
from infisical_iac.workspace.load import load

_STORED_KEY = "INFISICAL_SSH_KEY"


@click.command()
@click.option(
    "--host",
    help=f"Name or address of the server; `{answers.NEW}` for one to be created at Hetzner Cloud.",
)
@click.option("--ssh-port", metavar="PORT", help="Port of SSH on the server. [default: 22]")
@accept_host_key_option
@click.option(
    "--ssh-public-key",
    metavar="FILE",
    help="File of your public SSH key, for a new server at Hetzner Cloud. "
    "[default: ~/.ssh/id_ed25519.pub]",
)
# 0.3 removes this former name.
@click.option("--ssh-key", hidden=True)
@click.option(
    "--ssh-user", help="User to log in as on the server: root, or one with sudo. [default: root]"
)
@click.option(
    "--harden",
    metavar="ANSWER",
    help="Whether to manage the server itself (SSH, kernel, firewall, bans, reboots): yes, no, or "
    "auto to let the first deploy decide. [default: no if other containers run there, else yes]",
)
@click.option(
    "--domain", help='Domain of Infisical, for https; "" for access by an SSH tunnel only.'
)
@click.option("--email", help="E-mail address of the first administrator.")
@click.option(
    "--organization",
    help="Name of the organization in Infisical. "
    "[default: the name of the services' directory, capitalized]",
)
@click.option(
    "--project", help="Name of the project in Infisical. [default: the organization's name]"
)
@click.option(
    "--environments",
    metavar="SLUGS",
    help="Environments, separated by commas. [default: development,staging,production]",
)
@click.option(
    "--isolation",
    metavar="METHOD",
    help="Method that restricts a service to its own secrets: privilege, projects or viewer. "
    "[default: what the Infisical on the server enforces; privilege if there is none yet]",
)
@click.option(
    "--services",
    metavar="PATH",
    help="Directory that holds your services, relative to the repository. [default: ..]",
)
@click.option(
    "--backup",
    metavar="ADDRESS",
    help=f"Second place for backups: {remote_prefixes()}; `{answers.LATER}` for none yet. "
    f"[default: {answers.LATER}]",
)
@click.option(
    "--backup-port", metavar="PORT", help="SFTP port of the second place for backups. [default: 22]"
)
@click.option(
    "--backup-host-key",
    metavar="KEY",
    help="SFTP host key of the second place for backups, such as `ssh-ed25519 AAAA…`.",
)
@click.option(
    "--smtp-host",
    metavar="NAME",
    help="Mail server that Infisical sends invitations and password resets by; "
    f"`{answers.NONE}` for no mail. [default: {answers.NONE}]",
)
@click.option("--smtp-port", metavar="PORT", help="Port of the mail server. [default: 587]")
@click.option(
    "--smtp-tls",
    metavar="MODE",
    help="TLS of the mail server: starttls, tls, or none for one at a private address. "
    "[default: tls for port 465, else starttls]",
)
@click.option(
    "--smtp-user",
    metavar="USER",
    help=f"User name at the mail server; `{answers.NONE}` if it needs no login.",
)
@click.option(
    "--smtp-from",
    metavar="EMAIL",
    help="Address that mails come from. [default: infisical at the domain of --email]",
)
@click.option(
    "--login",
    metavar="PROVIDER",
    help="Provider that people may sign in with, in addition to the password: google, github or "
    f"gitlab; `{answers.NONE}` for none. [default: {answers.NONE}]",
)
@click.option(
    "--login-client-id", metavar="ID", help="Client id of Infisical at the provider of --login."
)
@click.option(
    "--login-address",
    metavar="ADDRESS",
    help="Address of your GitLab. [default: https://gitlab.com]",
)
@click.option(
    "--monitoring",
    metavar="ANSWER",
    help="`yes` to let the server watch itself every minute and report problems, or `no`. "
    "[default: no; yes with --alert, --alert-to or --heartbeat]",
)
@click.option(
    "--alert",
    metavar="KIND",
    help=f"Kind of target that gets alerts: {join_names(KINDS, 'or')}; `{answers.NONE}` for "
    f"none. `apply` asks for the address of a webhook. [default: {answers.NONE}]",
)
@click.option(
    "--alert-to",
    metavar="TO",
    help="E-mail address, or absolute path of a program on the server, that gets alerts. "
    "[default: the one of --email]",
)
@click.option(
    "--heartbeat",
    metavar="ANSWER",
    help="`yes` to let the server call a heartbeat at an address that `apply` asks for, or `no`. "
    "[default: no]",
)
@click.option(
    "--group",
    metavar="NAME",
    help="Name of the inventory and of its settings. "
    f"[default: the name of the only inventory, or {answers.GROUP}]",
)
@click.option(
    "--add-service",
    multiple=True,
    metavar="NAME=PATH",
    help="Add a service with its directory to the project file; can be repeated.",
)
@click.option(
    "--add-environment",
    multiple=True,
    metavar="SLUG",
    help="Add an environment to the project file, as SLUG or SLUG=NAME; can be repeated.",
)
@click.option(
    "--add-person",
    multiple=True,
    metavar="EMAIL=ROLE",
    help="Add a person with a role in the project to the project file; can be repeated.",
)
@click.option(
    "--pipeline",
    type=click.Choice([*repository.WORKFLOWS]),
    help="Write the CI workflow of this platform again, and add its jobs to the project file.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: use the defaults and all services found.")
@click.option(
    "--force",
    is_flag=True,
    help="Overwrite settings and project file that have been edited.",
)
@click.option(
    "--directory",
    type=LocalPath(),
    default=".",
    show_default=True,
    help="The directory to write to: an empty one, or a repository to add to.",
)
@click.option(
    "--upgrade",
    is_flag=True,
    help="Rewrite the settings and the project file for this version: shows the difference, and "
    "asks.",
)
def init(
    directory: Path,
    group: str | None,
    add_service: tuple[str, ...],
    add_environment: tuple[str, ...],
    add_person: tuple[str, ...],
    pipeline: str | None,
    yes: bool,
    force: bool,
    upgrade: bool,
    **given: str | None,
) -> None:
    """Ask the questions of a first deploy, and write a repository of your own with its settings.

    Writes inventory/hetzner.py and group_data/hetzner.py (the server and the address; with --group
    NAME they have that name), the project file group_data/<project>.yaml (what should be inside
    Infisical), deploy.py, pyproject.toml with the version of infisical-iac, README.md, .gitignore
    and CI jobs; and .infisical.json into each service's directory (where the service finds its
    secrets). Existing files of these names are kept. Services are found by the names of files; of
    their files, only .infisical.json is opened.

    In a repository that `init` wrote before, it adds a service, an environment or a person, or
    corrects an answer. It shows each difference first, and keeps everything that was written by
    hand.

    Exit status: 0 when all files are written; 1 for an error, and then no file has changed.
    """
    if upgrade:
        upgrade_settings(directory, yes)
        return
    if old := given.pop("ssh_key"):
        echo("Warning: --ssh-key is now called --ssh-public-key: use that name", err=True)
        given["ssh_public_key"] = given["ssh_public_key"] or old
    if not directory.is_dir():
        raise FileError(f"there is no directory {directory}: make it first", code="file.missing")
    if group is None:
        group = repository.find_group(directory)
    try:
        answers.check_group(group, is_clone=repository.is_clone(directory))
    except SettingsError as error:
        raise SettingsError(f"--group: {error}", code=error.code) from None
    additions = Additions.parse(add_service, add_environment, add_person)
    # A clone of this project has a project file before its first deploy, which the demo deploys.
    only_adds = any(additions) and not any(given.values()) and repository.is_clone(directory)
    if (only_adds or _is_edited(directory, repository.settings_file(group), group)) and not force:
        place = init_again.Place(directory, group, yes)
        init_again.extend(place, additions, given, pipeline or "")
        return
    _write_first(directory, group, additions, given, pipeline or "", yes=yes, keeps=not force)


class _Chosen(NamedTuple):
    """The services that a person chose, with their directories, and the directory searched."""

    root: Path
    homes: Mapping[FoundService, Path]


def _write_first(
    directory: Path,
    group: str,
    additions: Additions,
    given: Mapping[str, str | None],
    platform: str,
    *,
    yes: bool,
    keeps: bool,
) -> None:
    """Ask all questions, and write the files.

    Args:
        keeps: whether a project file that has been edited stays as it is.
    """
    ask = partial(ask_question, given, yes)
    defaults = default_settings()
    setting = partial(answers.check_setting, defaults)
    tested = _ask_where(given, directory, yes)
    ssh_public_key = ask("ssh_public_key", answers.check_public_key) if tested is None else ""
    # With --yes the server is tested at the end.
    host_settings = {} if yes else _ask_host_settings(given, tested, yes)
    site_url = ask_domain(given, yes, defaults)
    explain_authority(site_url)
    email = ask("email", partial(setting, "admin_email"))
    root = ask("services", partial(_require_directory, directory))
    organization = ask("organization", partial(setting, "organization"), answers.project_name(root))
    project = ask("project", answers.check_project_name, organization)
    project_file = _choose_project_file(directory, group, project)
    kept = keeps and _is_edited(directory, project_file, group)
    if kept:
        echo(f"{project_file} exists: its environments and services are kept.")
    environments = () if kept else ask("environments", answers.parse_environments)
    isolation = ask_isolation(given, yes, tested)
    chosen = _Chosen(root, {}) if kept else _choose(root, directory, yes)
    backup = ask_backup(given, yes)
    smtp = ask_mail(given, yes, email)
    login = ask_login(given, yes, site_url or str(defaults["site_url"]))
    monitoring = ask_monitoring(given, yes, email, has_mail=bool(smtp))
    if tested and yes:  # A person's answer was tested at once.
        tested = inspect_server(tested.server, directory, yes=True)
    if yes:
        host_settings = _ask_host_settings(given, tested, yes)
        isolation = ask_isolation(given, yes, tested)
    answered = Answers(
        host=tested.server.address if tested else "",
        ssh_port=tested.server.port if tested else 22,
        ssh_user=tested.server.user if tested else "",
        ssh_public_key=ssh_public_key,
        site_url=site_url,
        email=email,
        organization=organization,
        project=project,
        environments=environments,
        services=list(chosen.homes),
        group=group,
        backup=backup,
        host_settings=host_settings,
        smtp=smtp,
        login=login,
        isolation=isolation,
        monitoring=monitoring,
    )
    pipeline = init_again.find_pipeline(directory, platform)
    kept_text = read_file(directory / project_file) if kept else ""
    files, stays = _render(directory, answered, project_file, root, kept_text, pipeline)
    files[project_file] = additions.add_to(files[project_file])
    if tested and tested.host_key:
        known_hosts = str(KNOWN_HOSTS)
        files[known_hosts] = tested.known_hosts(read_file(directory / known_hosts))
    for path, text in files.items():
        before = read_file(directory / path)
        if before != text and _is_edited(directory, path, group):
            show_difference(path, before, text)
    tunnel = str(defaults["site_url"])
    local = {
        home / local_file.NAME: local_file.text_before_deploy(
            home, service.folder, site_url, tunnel
        )
        for service, home in chosen.homes.items()
    }
    local |= init_again.find_local_files(directory, additions, files[project_file], site_url)
    changed = init_again.leave_out_unchanged(local)
    write_files({directory / path: text for path, text in files.items()} | changed)
    written = {service.name: home / local_file.NAME for service, home in chosen.homes.items()}
    names = [name for name, file in written.items() if file in changed]
    _report(answered, chosen.root, names, files, stays)
    if not repository.is_clone(directory):
        declared = load(files[project_file])
        reading = declared.environments[-1].slug if site_url else ""
        # A project file that is kept may lack the jobs.
        has_jobs = pipeline and pipeline.jobs(reading).keys() <= declared.ci.keys()
        init_again.report_pipeline(pipeline if has_jobs else None, reading)


def _render(
    directory: Path,
    answered: Answers,
    project_file: str,
    root: Path,
    kept: str,
    pipeline: Pipeline | None,
) -> tuple[dict[str, str], list[str]]:
    """Return the texts to write by their paths, and the paths of files that stay as they are.

    Args:
        kept: the text of a project file that stays as it is; empty for none.
    """
    is_clone = repository.is_clone(directory)
    files = repository.files(answered, project_file, pipeline)
    files[project_file] = kept or files[project_file]
    stays = []
    inventory = repository.inventory_file(answered.group)
    around = {inventory: files.pop(inventory)}
    if not is_clone:
        services = os.path.relpath(root, directory.resolve())
        last = load(files[project_file]).environments[-1].slug
        around |= repository.files_around(answered, project_file, services, last)
    for path, text in around.items():
        if not (directory / path).exists():
            files[path] = text
        elif read_file(directory / path) != text and not is_clone:
            stays.append(path)
    return files, stays


def _choose_project_file(directory: Path, group: str, project: str) -> str:
    """Return the path of the project file: the existing one, or one named after the project."""
    path = repository.find_project_file(directory, group)
    if (directory / path).exists() or repository.is_clone(directory):
        return path
    return repository.project_file(project)


def _ask_where(given: Mapping[str, str | None], directory: Path, yes: bool) -> TestedServer | None:
    """Return the server with its host key; None for a server to be created."""
    host = ask_question(given, yes, "host", answers.check_host)
    return None if host == answers.NEW else ask_server(given, host, directory, yes=yes)


def _ask_host_settings(
    given: Mapping[str, str | None], tested: TestedServer | None, yes: bool
) -> dict[str, str]:
    """Return the settings on managing the server.

    None are asked for a server that is to be created: nothing else runs there.
    """
    return ask_harden(given, yes, tested.others if tested else None)


def _is_edited(directory: Path, path: str, group: str) -> bool:
    """Return whether settings or a project file exist and differ from the shipped ones."""
    file = directory / path
    if not file.exists() or path == str(KNOWN_HOSTS):
        return False
    return bool(repository.find_edited({path: file.read_text("utf-8", errors="replace")}, group))


def _require_directory(directory: Path, value: str) -> Path:
    path = directory / Path(value).expanduser()
    if not value or not path.is_dir():
        raise SettingsError(f"there is no directory {value!r}; name the one of your services")
    return path.resolve()


def _choose(path: Path, directory: Path, yes: bool) -> _Chosen:
    """Return the chosen services below `path`, each with its directory."""
    found = find_services(path, leave_out=directory)
    services = name_services(each.path for each in found)
    if not found:
        echo(f"No services found in {path}: add them later by `infisical-iac init`.")
        return _Chosen(path, {})
    echo(
        "\nA service is a program that reads secrets: a directory with package.json, "
        "pyproject.toml,\nrequirements.txt or .env files, at most two levels down. A library, or a "
        "tool without\nsecrets of its own, is not one."
    )
    echo(f"\nServices found in {path}:\n")
    for number, (each, service) in enumerate(zip(found, services, strict=True), start=1):
        shown = printable(f"{service.name:24} {each.path:32} {', '.join(each.signs)}")
        echo(f"{number:4}  {shown}")
    echo()
    homes = {}
    answer = "all" if yes else ""
    for service, each in zip(services, found, strict=True):
        if answer not in ("all", "none"):
            answer = prompt(
                f"Is {printable(each.path)} a service with secrets "
                "(y, n, all or none for this and the rest)",
                "y",
                _yes_or_no,
                "--yes, which takes all of them",
            )
        if answer in ("y", "all"):
            homes[service] = path / each.path
    return _Chosen(path, homes)


def _yes_or_no(value: str) -> str:
    words = {"yes": "y", "no": "n"}
    answer = words.get(value.lower(), value.lower())
    if answer not in ("y", "n", "all", "none"):
        raise SettingsError(f"{value!r} is not a choice; write y, n, all or none")
    return answer


def _report(
    answered: Answers,
    root: Path,
    written: Sequence[str],
    files: Mapping[str, str],
    stays: Sequence[str],
) -> None:
    """Print the written files, the open questions and the next commands.

    Args:
        root: the directory of the services.
        written: the names of the services whose `.infisical.json` was written.
    """
    settings = repository.settings_file(answered.group)
    if written:
        echo(f"Wrote {local_file.NAME} for {join_names(written)}.")
    if answered.services:
        echo(
            f"After the deploy, `infisical-iac check {root} --fix` adds the project's id to each "
            f"{local_file.NAME}."
        )
    if not answered.site_url:
        echo(
            "No domain: Infisical is reached by an SSH tunnel only. For https, set site_url and "
            f"ingress in {settings}."
        )
    if answered.backup is None:
        echo(
            "Backups are on the server's own disk only: `infisical-iac init --backup ADDRESS` "
            f"adds a target on another machine to {settings}."
        )
    explain_named_key(settings)
    for purpose, variable in answered.secrets.items():
        echo(f"`infisical-iac apply` asks for {purpose}, or takes it from {variable}.")
    if stays:
        echo(f"Kept {join_names(stays)}, which existed already.")
    echo(f"Wrote {join_names(files)}. Run next:\n")
    for variable in answered.backup.variables if answered.backup else ():
        echo(f"    export {variable}=…")
    if key := find_named_key():
        # Relative paths would name another file in another directory.
        echo(f"    export INFISICAL_SSH_KEY={shlex.quote(os.path.abspath(Path(key).expanduser()))}")
    if answered.group != answers.GROUP:
        echo(f"    export INFISICAL_IAC_INVENTORY={repository.inventory_file(answered.group)}")
    if answered.ssh_public_key:
        echo("    export HCLOUD_TOKEN=…\n    infisical-iac server create")
    echo("    infisical-iac plan\n    infisical-iac apply")


def upgrade_settings(directory: Path, yes: bool) -> None:
    """Show how a repository's files would be rewritten for this version, ask, and rewrite them.

    The files are those in `group_data/`, and `pyproject.toml` with the pinned version. Comments
    stay. Nothing is written unless all files can be read.

    Args:
        directory: the repository.
        yes: whether to write without a question.

    Raises FileError or SettingsError for a file that can't be upgraded, and click.Abort for the
    answer no.
    """
    upgraded = dict(_upgrade_all(directory))
    changed = {file: new.text for file, (old, new) in upgraded.items() if new.text != old}
    notes = [
        f"{_name(file, directory)}: {note}"
        for file, (_, new) in upgraded.items()
        for note in new.notes
    ]
    if not changed:
        echo("All files are up to date with this version.")
        print_notes(notes)
        return
    show(_differences(directory, {file: upgraded[file][0] for file in changed}, changed))
    print_notes(notes)
    confirm(f"Change {pluralize(len(changed), 'file')}?", yes=yes)
    write_files(changed)
    names = join_names(_name(file, directory) for file in changed)
    echo(f"Changed {names}. Run next:\n\n    infisical-iac plan")


def _upgrade_all(directory: Path) -> Iterator[tuple[Path, tuple[str, Upgraded]]]:
    """Yield each file with its text and the upgraded one."""
    folder = directory / "group_data"
    if not folder.is_dir():
        raise FileError(
            f"there is no {folder}: change to your repository, or make one by `infisical-iac init`",
            code="file.missing",
        )
    for file in sorted(folder.glob("*.py")):
        yield file, _upgrade_file(file, upgrade_settings_text)
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        yield file, _upgrade_file(file, upgrade_project_text)
    pyproject = directory / PYPROJECT
    if pyproject.is_file():
        text = new = read_file(pyproject)
        for name, running in (
            (bundle.NAME, bundle.version()),
            (repository.LOADER, repository.LOADER_VERSION),
        ):
            pin = tool_versions.find_pin(text, name)
            if pin and tool_versions.version_numbers(pin) < tool_versions.version_numbers(running):
                new = upgrade_pin(new, name, running)
        if new != text:
            notes = ("run `uv lock` afterwards, if you have a uv.lock",)
            yield pyproject, (text, Upgraded(new, notes))
    for platform, path in repository.WORKFLOWS.items():
        text = read_file(directory / path)
        # A workflow of an earlier release takes the key from the platform.
        if _STORED_KEY in text:
            note = (
                "it reads an SSH key that is stored at the platform: `infisical-iac init "
                f"--pipeline {platform}` has it read the key from Infisical"
            )
            yield directory / path, (text, Upgraded(text, (note,)))


def _upgrade_file(file: Path, change: Callable[[str], Upgraded]) -> tuple[str, Upgraded]:
    text = read_file(file)
    try:
        return text, change(text)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}", code=error.code) from None


def _differences(
    directory: Path, old: Mapping[Path, str], new: Mapping[Path, str]
) -> Iterator[Change]:
    for file, text in new.items():
        lines = find_differences(_name(file, directory), old[file], text, context=2)
        yield Change("~", _name(file, directory), diff="\n".join(lines[2:]))


def _name(file: Path, directory: Path) -> str:
    return str(file.relative_to(directory))
