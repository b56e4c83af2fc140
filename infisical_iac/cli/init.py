"""`infisical-iac init`: ask the questions of a first deploy, and write its settings."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from infisical_iac.cli.output import answered_by
from infisical_iac.core.bundle import default_settings
from infisical_iac.core.errors import FileError, Refused, SettingsError
from infisical_iac.core.terminal import echo
from infisical_iac.core.wording import join_names
from infisical_iac.init import answers
from infisical_iac.init.answers import NEW, Answers
from infisical_iac.init.services import FoundService, find_services, name_services
from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import LocalFile

_T = TypeVar("_T")


# By option, the question and its default. A question without a default requires an answer.
_QUESTIONS: dict[str, tuple[str, str | None]] = {
    "host": (f"The server's name or address ({NEW}: one to be made at Hetzner Cloud)", None),
    "ssh_public_key": ("The file of your public SSH key", "~/.ssh/id_ed25519.pub"),
    "ssh_user": ("The user to log in as there", "root"),
    "domain": ("The domain of Infisical (`none` or nothing: by an SSH tunnel only)", ""),
    "email": ("The first administrator's e-mail address", None),
    "services": ("The directory that your services are in, from here", ".."),
    "organization": ("The organization, and its project", None),
}


def ask_question(
    given: Mapping[str, str | None],
    yes: bool,
    name: str,
    check: Callable[[str], _T],
    default: str = "",
) -> _T:
    """Return the checked value of an option, of its default if `yes`, or of a person's answer.

    Args:
        given: the values of the options.
        check: converts an answer, and raises SettingsError for one that can't be used.
        default: used instead of the question's own; "" for that one.

    Raises SettingsError for an option that can't be used, or is required and missing.
    """
    answer, (text, own_default) = given[name], _QUESTIONS[name]
    default_answer = default or own_default
    option = "--" + name.replace("_", "-")
    if answer is None and not yes:
        return prompt(text, default_answer, check, option)
    answer = default_answer if answer is None else answer
    if answer is None:
        raise SettingsError(f"{option} is missing: with --yes nothing is asked, so give it")
    try:
        return check(answer.strip())
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}", code=error.code) from None


def prompt(text: str, default: str | None, check: Callable[[str], _T], option: str) -> _T:
    """Ask until `check` accepts the answer, and return the checked value.

    Raises Refused with the option that answers the question if there is nobody to answer.
    """

    def check_answer(answer: str) -> _T:
        try:
            return check(answer.strip())
        except SettingsError as error:
            raise click.UsageError(str(error)) from None

    with answered_by(option):
        answer: _T = click.prompt(
            text, default, value_proc=check_answer, show_default=bool(default)
        )
    return answer


@click.command()
@click.option(
    "--host",
    help=f"Name or address of the server; `{answers.NEW}` for one to be created at Hetzner Cloud.",
)
@click.option(
    "--ssh-public-key",
    metavar="FILE",
    help="File of your public SSH key, for a new server at Hetzner Cloud. "
    "[default: ~/.ssh/id_ed25519.pub]",
)
@click.option("--ssh-key", hidden=True)
@click.option(
    "--ssh-user", help="User to log in as on the server: root, or one with sudo. [default: root]"
)
@click.option(
    "--domain", help='Domain of Infisical, for https; "" for access by an SSH tunnel only.'
)
@click.option("--email", help="E-mail address of the first administrator.")
@click.option(
    "--organization",
    help="Name of the organization in Infisical, and of its project. "
    "[default: that of the services' directory, capitalized]",
)
@click.option(
    "--services",
    metavar="PATH",
    help="Directory that holds your services, relative to the clone. [default: ..]",
)
@click.option(
    "--group",
    default=answers.GROUP,
    show_default=True,
    metavar="NAME",
    help="Name of the inventory and of its settings, for a host that is not at Hetzner.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: use the defaults and all services found.")
@click.option("--force", is_flag=True, help="Overwrite settings that have been edited.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=".",
    show_default=True,
    help="The clone of this project to write to.",
)
def init(directory: Path, group: str, yes: bool, force: bool, **given: str | None) -> None:
    """Ask the questions of a first deploy, and write its settings.

    Writes group_data/hetzner.py (the server and the address), group_data/chainalign.yaml (the
    project file: what should be inside Infisical), and .infisical.json into each service's
    directory (where the service finds its secrets). With --group NAME it writes group_data/NAME.py
    and inventory/NAME.py instead of the first. Services are found by the names of files; of
    their files, only .infisical.json is opened.

    Exit status: 0 when all files are written; 1 for an error, and then no file has changed.
    """
    if old := given.pop("ssh_key"):
        echo("Warning: --ssh-key is now called --ssh-public-key: use that name", err=True)
        given["ssh_public_key"] = given["ssh_public_key"] or old
    try:
        answers.group(group)
    except SettingsError as error:
        raise SettingsError(f"--group: {error}", code=error.code) from None
    _require_settings_folder(directory)
    defaults = default_settings()
    if not force:
        _refuse_edited(directory, group)
    ask = partial(ask_question, given, yes)
    host = ask("host", answers.host)
    is_new = host == answers.NEW
    if is_new and group != answers.GROUP:
        raise SettingsError(
            f"--group: `infisical-iac server create` reads {answers.settings_file(answers.GROUP)}: "
            "leave --group out for a server at Hetzner Cloud"
        )
    setting = partial(answers.setting, defaults)
    ssh_public_key = ask("ssh_public_key", answers.public_key) if is_new else ""
    ssh_user = "" if is_new else ask("ssh_user", answers.ssh_user)
    site_url = ask("domain", partial(answers.site_url, defaults))
    email = ask("email", partial(setting, "admin_email"))
    services = ask("services", partial(_existing, directory))
    name = answers.project_name(services)
    organization = ask("organization", partial(setting, "organization"), name)
    homes = _choose(services, directory, yes)
    files = answers.files(
        Answers(
            host="" if is_new else host,
            ssh_public_key=ssh_public_key,
            ssh_user=ssh_user,
            site_url=site_url,
            email=email,
            organization=organization,
            services=list(homes),
            group=group,
        )
    )
    tunnel = str(defaults["site_url"])
    local = {
        home / local_file.NAME: _local_text(home, service.folder, site_url, tunnel)
        for service, home in homes.items()
    }
    _write({directory / path: text for path, text in files.items()} | local)
    if local:
        echo(
            f"Wrote {local_file.NAME} for {join_names(each.name for each in homes)}; after the "
            f"deploy, `infisical-iac check {services} --fix` adds the project's id."
        )
    if not site_url:
        echo(
            "No domain: Infisical is reached by an SSH tunnel only. For https, set site_url and "
            f"ingress in {answers.settings_file(group)}."
        )
    echo(f"Wrote {join_names(files)}. Run next:\n")
    if is_new:
        echo("    export HCLOUD_TOKEN=…\n    infisical-iac server create")
    if group != answers.GROUP:
        echo(f"    export INFISICAL_IAC_INVENTORY={answers.inventory_file(group)}")
    echo("    infisical-iac plan\n    infisical-iac apply")


def _local_text(home: Path, folder: str, site_url: str, tunnel: str) -> str:
    """Return the text of a service's `.infisical.json` in its directory.

    The project's id is not known before a deploy. Without a domain, the file keeps an address that
    it has, and else gets that of an SSH tunnel.
    """
    known = LocalFile("", site_url, folder)
    has_address = local_file.parse(local_file.text(home, known)).domain
    return local_file.text(home, known if has_address else known._replace(domain=tunnel))


def _require_settings_folder(directory: Path) -> None:
    if not (directory / "group_data").is_dir():
        raise FileError(
            f"there is no {directory / 'group_data'}: run this in a clone of the project"
        )


def _refuse_edited(directory: Path, group: str) -> None:
    texts = {
        path: (directory / path).read_text("utf-8", errors="replace")
        for path in answers.files(Answers(group=group))
        if (directory / path).exists()
    }
    if edited := answers.find_edited(texts, group):
        raise Refused(
            f"{join_names(edited)} would lose your changes: change the settings by hand, or keep "
            "a copy and give --force"
        )


def _existing(directory: Path, value: str) -> Path:
    path = directory / Path(value).expanduser()
    if not value or not path.is_dir():
        raise SettingsError(f"there is no directory {value!r}; name the one of your services")
    return path.resolve()


def _choose(path: Path, directory: Path, yes: bool) -> Mapping[FoundService, Path]:
    """Return the chosen services below `path`, each with its directory."""
    found = find_services(path, leave_out=directory)
    services = name_services(each.path for each in found)
    if not found:
        echo(f"No services found in {path}: add them to {answers.WORKSPACE_FILE} yourself.")
        return {}
    echo(f"\nServices found in {path}:\n")
    for number, (each, service) in enumerate(zip(found, services, strict=True), start=1):
        echo(f"{number:4}  {service.name:24} {each.path:32} {', '.join(each.signs)}")
    echo()
    homes = {service: path / each.path for service, each in zip(services, found, strict=True)}
    if yes:
        return homes
    chosen = prompt(
        "Which of them have secrets (numbers, all or none)",
        "all",
        partial(answers.select, count=len(found)),
        "--yes, which takes all of them",
    )
    return {services[index]: homes[services[index]] for index in chosen}


def _write(files: Mapping[Path, str]) -> None:
    """Write all files; if one of them can't be written, write none."""
    new_files = {file: file.with_name(f".{file.name}.new") for file in files}
    try:
        for file, text in files.items():
            new_files[file].write_text(text, "utf-8")
        for file, new in new_files.items():
            new.replace(file)
    except OSError as error:
        raise FileError(f"{error.filename} can't be written: {error.strerror}") from None
    finally:
        for new in new_files.values():
            new.unlink(missing_ok=True)
