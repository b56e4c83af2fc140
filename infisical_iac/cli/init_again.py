"""Add to a repository that `infisical-iac init` wrote, or correct an answer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from infisical_iac.cli.init_questions import (
    agree,
    ask_backup,
    ask_domain,
    ask_login,
    ask_mail,
    ask_monitoring,
    ask_question,
    ask_server,
    explain_authority,
    explain_named_key,
    parse_choice,
    prompt,
    read_file,
    show_difference,
    write_files,
)
from infisical_iac.core.bundle import NAME, default_settings
from infisical_iac.core.errors import FileError, Refused, SettingsError
from infisical_iac.core.own_repository import KNOWN_HOSTS, PYPROJECT
from infisical_iac.core.terminal import echo
from infisical_iac.core.wording import join_names
from infisical_iac.host.shared import MANAGED
from infisical_iac.init import answers, project_file, repository
from infisical_iac.init.repository import Pipeline, read_settings, set_settings
from infisical_iac.init.upgrade import add_pin
from infisical_iac.stack.ingress_kinds import DIRECTORIES
from infisical_iac.workspace import local_file
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Environment

_T = TypeVar("_T")

_ADDING = "--add-service, --add-environment, --add-person or --pipeline"
# The answers that are settings, and can be corrected.
_SHOWN_DEFAULTS = {"ssh_port": 22, "ssh_user": "root"}
_CORRECTABLE = (
    *("host", "ssh_port", "ssh_user", "harden", "domain", "email", "organization", "backup"),
    *("smtp_host", "login", "monitoring"),
)


# Further answers, which the questions on the mail server and the login ask for.
_DETAILS = (
    *("smtp_port", "smtp_tls", "smtp_user", "smtp_from"),
    *("login_client_id", "login_address"),
    *("alert", "alert_to", "heartbeat"),
)


def _parse(option: str, check: Callable[[str], _T], value: str) -> _T:
    try:
        return check(value)
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}", code=error.code) from None


class Additions(NamedTuple):
    """The additions to a project file."""

    services: Sequence[tuple[str, str]] = ()
    environments: Sequence[Environment] = ()
    people: Sequence[tuple[str, str]] = ()

    @classmethod
    def parse(
        cls, services: Sequence[str], environments: Sequence[str], people: Sequence[str]
    ) -> Self:
        """Return the additions that options give. Raises SettingsError for a wrong one."""
        return cls(
            [_parse("--add-service", answers.parse_service, each) for each in services],
            [_parse("--add-environment", answers.parse_environment, each) for each in environments],
            [_parse("--add-person", answers.parse_person, each) for each in people],
        )

    def add_to(self, text: str) -> str:
        """Return the text of a project file with the additions.

        Raises SettingsError for an addition that exists already.
        """
        for name, _ in self.services:
            text = project_file.add_service(text, name, f"/{name}")
        for environment in self.environments:
            text = project_file.add_environment(text, environment)
        for email, role in self.people:
            text = project_file.add_person(text, email, role)
        return text


class Place(NamedTuple):
    """A repository, and the way in which questions about it are answered.

    Attributes:
        yes: whether nothing is asked.
    """

    directory: Path
    group: str
    yes: bool

    @property
    def settings(self) -> str:
        """Return the path of the settings in the repository."""
        return repository.settings_file(self.group)

    @property
    def project_file(self) -> str:
        """Return the path of the project file in the repository."""
        return repository.find_project_file(self.directory, self.group)

    def read(self, path: str) -> str:
        """Return the text of a file of the repository. Raises FileError."""
        return read_file(self.directory / path)


def extend(
    place: Place, additions: Additions, given: Mapping[str, str | None], platform: str = ""
) -> None:
    """Apply the additions and corrections that options give; without any, ask what to do.

    Args:
        platform: the platform whose workflow is written again; empty for none.

    Raises Refused for a correction that can't be confirmed.
    """
    _refuse_other_project(place, given)
    options = {name: value for name, value in given.items() if value is not None}
    corrected = [name for name in (*_CORRECTABLE, *_DETAILS) if name in options]
    if corrected:
        _correct(place, options)
    if any(additions):
        _add(place, additions)
    if platform:
        _set_up_pipeline(place, platform)
    if not corrected and not any(additions) and not platform:
        if place.yes:
            echo(f"Nothing to add: give {_ADDING}.")
        else:
            _offer(place)


def _offer(place: Place) -> None:
    """Ask what to add or correct, until the person chooses nothing more."""
    actions: tuple[tuple[str, Callable[[Place], object]], ...] = (
        ("add a service", _ask_service),
        ("add an environment", _ask_environment),
        ("add a person", _ask_person),
        ("correct an answer", _ask_correction),
        ("set up the pipeline", _ask_pipeline),
    )
    echo(f"This repository has its settings in {place.settings} already.\n")
    for number, (title, _) in enumerate(actions, start=1):
        echo(f"{number:4}  {title}")
    last = len(actions) + 1
    echo(f"{last:4}  nothing more\n")
    is_changed = False
    while True:
        number = prompt(
            "What next", str(last), partial(parse_choice, most=last), f"{_ADDING} with --yes"
        )
        if number == last:
            break
        try:
            is_changed = bool(actions[number - 1][1](place)) or is_changed
        except SettingsError as error:
            echo(f"Error: {error}")
    if is_changed:
        echo("Run next:\n\n    infisical-iac plan\n    infisical-iac apply")


def _ask_service(place: Place) -> bool:
    service = prompt(
        "The service's name and directory, such as web=../services/web",
        None,
        lambda value: _existing_service(place.directory, answers.parse_service(value)),
        "--add-service",
    )
    return _add(place, Additions(services=[service]))


def _ask_environment(place: Place) -> bool:
    environment = prompt(
        "The environment's slug, such as staging, or with a name, such as qa=Quality",
        None,
        answers.parse_environment,
        "--add-environment",
    )
    return _add(place, Additions(environments=[environment]))


def _ask_person(place: Place) -> bool:
    email = prompt(
        "The e-mail address, such as ada@example.com", None, answers.check_email, "--add-person"
    )
    role = prompt(
        "The role in the whole project: viewer, developer, admin or none",
        "viewer",
        answers.check_role,
        "--add-person",
    )
    return _add(place, Additions(people=[(email, role)]))


def _ask_correction(place: Place) -> bool:
    names = [name.replace("_", "-") for name in _CORRECTABLE]

    def check(value: str) -> str:
        if value not in names:
            raise SettingsError(
                f"{value!r} is not an answer; write {', '.join(names[:-1])} or {names[-1]}"
            )
        return value.replace("-", "_")

    name = prompt(f"Which answer ({', '.join(names)})", None, check, "the answer's own option")
    return _correct(place, {name: None})


def _ask_pipeline(place: Place) -> bool:
    found = repository.find_pipeline(place.directory)

    def check(value: str) -> str:
        if value not in repository.WORKFLOWS:
            raise SettingsError(
                f"{value!r} is no platform; write {' or '.join(repository.WORKFLOWS)}"
            )
        return value

    default = found.platform if found else None
    return _set_up_pipeline(place, prompt("Which platform", default, check, "--pipeline"))


def find_pipeline(directory: Path, platform: str) -> Pipeline | None:
    """Return the repository of the pipeline; None if it is unknown and no platform was given.

    Raises SettingsError if the platform was given, and the repository has no address there.
    """
    if repository.is_clone(directory):
        return None
    found = repository.find_pipeline(directory, platform)
    if found is None and platform:
        raise SettingsError(
            f"--pipeline: {directory} has no remote `origin` at {platform}: add it by `git remote "
            "add origin ADDRESS`",
            code="settings.pipeline",
        )
    return found


def _set_up_pipeline(place: Place, platform: str) -> bool:
    """Write the workflow of a platform, and add its jobs to the project file, after a question.

    Raises Refused with `--yes` for a workflow that a person may have edited.
    """
    found = find_pipeline(place.directory, platform)
    if found is None:
        raise SettingsError(
            "a clone has no pipeline of its own: use a repository that `init` wrote"
        )
    settings = {**default_settings(), **read_settings(place.read(place.settings))}
    text, workflow = place.read(place.project_file), repository.WORKFLOWS[platform]
    last = load(text).environments[-1].slug
    has_address = str(settings["site_url"]) != str(default_settings()["site_url"])
    answered = answers.Answers(
        ssh_public_key="a new server's" if settings.get("server_ssh_keys") else "",
        site_url=str(settings["site_url"]) if has_address else "",
        group=place.group,
    )
    reading = last if has_address else ""
    pyproject = place.read(str(PYPROJECT))
    desired = {
        place.project_file: project_file.add_jobs(
            text, found.jobs(reading), repository.OPERATIONS if reading else ""
        ),
        workflow: repository.files_around(answered, place.project_file, "", last)[workflow],
    }
    if reading:  # Only jobs with an address to log in at need the runner.
        pins = add_pin(pyproject, NAME, repository.LOADER, repository.LOADER_VERSION)
        desired[str(PYPROJECT)] = pins
    files = {path: after for path, after in desired.items() if after != place.read(path)}
    if not files:
        echo(f"Nothing to change: {workflow} is up to date.")
    elif place.yes and workflow in files and place.read(workflow):
        raise Refused(
            f"{workflow} has been edited, or is of another release: leave out --yes to see the "
            "difference and decide, or remove it first",
            code="refused.edited",
        )
    elif not _write(place, files):
        return False
    if str(PYPROJECT) in files:
        echo("Run `uv lock`, if you have a uv.lock.")
    report_pipeline(found, reading)
    return bool(files)


def report_pipeline(found: Pipeline | None, environment: str) -> None:
    """Print what is left to do for the workflows.

    Args:
        environment: the environment whose `/operations` they read; empty without a domain.
    """
    if not environment:
        echo(
            "\nThe workflows only check the services: without a domain, their jobs can't reach "
            "Infisical to read the SSH key. Run `infisical-iac drift` on your own machine."
        )
    elif found is None:
        echo(
            "\nThe workflows log in without a stored secret. Once `origin` is at GitHub or GitLab, "
            "`infisical-iac init --pipeline github` (or gitlab) adds their jobs to the project "
            "file."
        )
    else:
        folder = repository.OPERATIONS
        echo(
            "\nThe workflows log in without a stored secret, and read the SSH key from "
            f"{folder} of {environment}. After `apply`, once:\n\n"
            f"    infisical-iac secrets set {folder}/SSH_PRIVATE_KEY --env {environment} < KEY\n"
            "    infisical-iac credentials list\n\n"
            "The second prints the values of variables that README.md names, section CI."
        )


def _add(place: Place, additions: Additions) -> bool:
    """Show what additions change in the project file, ask, and return whether it was written."""
    path = place.project_file
    before = place.read(path)
    if not before:
        raise FileError(
            f"there is no {path}, which the settings name: give --force to write it again",
            code="file.missing",
        )
    files = {path: additions.add_to(before)}
    site_url = str(read_settings(place.read(place.settings)).get("site_url", ""))
    return _write(place, files, find_local_files(place.directory, additions, files[path], site_url))


def find_local_files(
    directory: Path, additions: Additions, text: str, site_url: str
) -> dict[Path, str]:
    """Return the texts of the `.infisical.json` of added services, by their paths.

    Args:
        directory: the repository, which their directories are relative to.
        text: the text of the project file with the services.
        site_url: the address of Infisical; empty for none.

    Raises SettingsError for a directory that does not exist.
    """
    services = load(text).services
    tunnel = str(default_settings()["site_url"])
    homes = {
        name: directory / _existing_service(directory, (name, where))[1]
        for name, where in additions.services
        if where
    }
    return {
        home / local_file.NAME: local_file.text_before_deploy(
            home, services[name].folder, site_url, tunnel
        )
        for name, home in homes.items()
    }


def leave_out_unchanged(local: Mapping[Path, str]) -> dict[Path, str]:
    """Return the texts that differ from the files, and print which files stay, with their address.

    Args:
        local: the texts for the `.infisical.json` of services, by their paths.
    """
    changed = {path: text for path, text in local.items() if read_file(path) != text}
    for path in local.keys() - changed.keys():
        domain = local_file.parse(local[path]).domain
        echo(f"{path} stays as it is. It names {domain}: correct it if this is another server.")
    return changed


def _existing_service(directory: Path, service: tuple[str, str]) -> tuple[str, str]:
    """Return a service with its directory. Raises SettingsError if there is no such directory."""
    if service[1] and not (directory / Path(service[1]).expanduser()).is_dir():
        raise SettingsError(
            f"there is no directory {service[1]!r}; name the one of {service[0]}, or leave out "
            f"`={service[1]}`",
            code="settings.service",
        )
    return service[0], str(Path(service[1]).expanduser()) if service[1] else ""


def _correct(place: Place, given: Mapping[str, str | None]) -> bool:
    """Show what answers change in the settings, ask, and return whether they were written.

    Args:
        given: the answers to correct, by the names of their options; None for one to ask for.

    Raises Refused with `--yes`, because a person may have written these settings by hand.
    """
    before = place.read(place.settings)
    values = {**_SHOWN_DEFAULTS, **read_settings(before)}
    found, files = _find_changes(place, given, values)
    changes = {name: value for name, value in found.items() if values.get(name) != value}
    if not changes and not files:
        echo(f"Nothing to change: {place.settings} has these answers.")
        return False
    if place.yes:
        raise Refused(
            f"{place.settings} has another {join_names(changes)}: leave out --yes to see the "
            "difference and decide, or give --force to overwrite the file",
            code="refused.edited",
        )
    is_done = _write(place, {place.settings: set_settings(before, changes), **files})
    if is_done and changes.keys() & {"ssh_hostname", "ssh_port", "ssh_user"}:
        explain_named_key(place.settings)
    if is_done and "site_url" in changes:
        echo(
            "The services' files name the address too: `infisical-iac check PATH --fix` sets it. "
            "So do the workflows: `infisical-iac init --pipeline NAME` writes one again."
        )
    return is_done


def _find_changes(
    place: Place, given: Mapping[str, str | None], values: Mapping[str, Any]
) -> tuple[dict[str, object], dict[str, str]]:
    """Return the settings that follow from answers, and the text of known_hosts by its path.

    Args:
        values: the present settings.
    """
    ask = partial(ask_question, given, place.yes)
    defaults = default_settings()
    changes: dict[str, object] = {}
    files: dict[str, str] = {}
    if {"host", "ssh_port", "ssh_user"} & given.keys():
        changes, files = _find_server_changes(place, given, values)
    if "domain" in given:
        site_url = ask_domain(given, place.yes, defaults, str(values.get("site_url", "")))
        changes["site_url"] = site_url or None
        if not site_url:
            changes["ingress"] = "none"
        elif values.get("ingress") == "none" and not values.get("site_url"):
            changes["ingress"] = None
        changes |= _find_authority(site_url, {**values, **changes}, str(values.get("site_url", "")))
    if "harden" in given:
        harden = ask_question(given, place.yes, "harden", answers.parse_harden)
        changes |= answers.host_settings(harden, None) or dict.fromkeys(MANAGED)
    for name, setting in (("email", "admin_email"), ("organization", "organization")):
        if name in given:
            check = partial(answers.check_setting, defaults, setting)
            changes[setting] = ask(name, check, str(values.get(setting, "")))
    if "backup" in given and (target := ask_backup(given, place.yes)):
        targets = values.get("backup_targets", defaults["backup_targets"])
        added = target.model_dump(exclude_defaults=True)
        changes["backup_targets"] = (
            *(each for each in targets if each.get("name") != target.name),
            added,
        )
    if any(name.startswith("smtp_") for name in given):
        changes["smtp"] = _ask_mail_again(place, given, values)
    if any(name.startswith("login") for name in given):
        address = changes.get("site_url") or values.get("site_url") or defaults["site_url"]
        asked = ask_login(given, place.yes, str(address))
        changes["login"] = {**values.get("login", {}), **asked} if asked else None
    if {"monitoring", "alert", "alert_to", "heartbeat"} & given.keys():
        changes |= _ask_monitoring_again(place, given, values, changes.get("smtp"))
    return changes, files


def _find_authority(site_url: str, values: Mapping[str, Any], old_url: str) -> dict[str, object]:
    """Return the change of `acme_ca` that an address needs, and explain it; {} for none.

    Args:
        values: the settings with the other changes.
        old_url: the address so far.
    """
    is_caddys = (values.get("ingress") or "caddy") == "caddy" and not values.get("tls_certificate")
    is_public = values.get("acme_ca", "letsencrypt") in DIRECTORIES
    authority, old = answers.find_authority(site_url), answers.find_authority(old_url)
    if authority and is_caddys and is_public:
        explain_authority(site_url)
        return {"acme_ca": authority}
    # A public authority certifies the new address, so its users need not trust Caddy's own.
    return {"acme_ca": None} if not authority and old and values.get("acme_ca") == old else {}


def _ask_monitoring_again(
    place: Place, given: Mapping[str, str | None], values: Mapping[str, Any], smtp: object
) -> dict[str, object]:
    """Return the settings on monitoring that change.

    Args:
        smtp: the mail server, if it changes too.
    """
    answered = given
    if is_complete := None not in given.values():
        # An answer that is neither given nor asked for is kept.
        answered = {"alert": answers.NONE, "heartbeat": "no", "monitoring": "yes", **given}
        if answered["monitoring"] == "no":
            answered = given
    email, has_mail = str(values.get("admin_email", "")), bool(smtp or values.get("smtp"))
    asked = ask_monitoring(answered, place.yes, email, has_mail=has_mail)
    if not asked:
        return {"monitoring": "off", "alerts": None, "heartbeat_url": None}
    changes = {"alerts": None, "heartbeat_url": None, **asked}
    known = tuple(values.get("alerts", ()))
    others = tuple(each for each in known if each.get("name") != answers.ALERT_TARGET)
    changes["alerts"] = (*others, *(asked.get("alerts") or ())) or None  # type: ignore[misc]
    if asked.get("heartbeat_url") and values.get("heartbeat_url"):
        changes["heartbeat_url"] = values["heartbeat_url"]
    if is_complete:
        for option, setting in (("alert", "alerts"), ("heartbeat", "heartbeat_url")):
            if option not in given:
                del changes[setting]
    return changes


def _ask_mail_again(
    place: Place, given: Mapping[str, str | None], values: Mapping[str, Any]
) -> dict[str, object] | None:
    """Return the mail server, as the setting; None for none."""
    now = values.get("smtp") or {}
    if None not in given.values():
        # An answer that is neither given nor asked for is kept.
        kept = {"smtp_host": now.get("host", answers.NONE)}
        if now and (given.get("smtp_host") or "").lower() != answers.NONE:
            names = {"port": "587", "tls": "starttls", "user": answers.NONE, "from_address": ""}
            kept |= {
                f"smtp_{name.removesuffix('_address')}": str(now.get(name, default))
                for name, default in names.items()
            }
        given = {**kept, **given}
    return ask_mail(given, place.yes, str(values.get("admin_email", "")), now) or None


def _find_server_changes(
    place: Place, given: Mapping[str, str | None], values: Mapping[str, Any]
) -> tuple[dict[str, object], dict[str, str]]:
    now = {
        "host": str(values.get("ssh_hostname", "")),
        "ssh_port": str(values["ssh_port"]),
        "ssh_user": str(values["ssh_user"]),
    }
    if not now["host"] and "server_ssh_keys" in values:
        now["host"] = answers.NEW
    is_asked = None in (given.get(name, "") for name in now)
    # A setting that is neither given nor asked for keeps its value.
    given = {**{name: value for name, value in now.items() if value}, **given}
    host = ask_question(given, place.yes, "host", answers.check_host, now["host"])
    if host == answers.NEW:
        if now["host"] == answers.NEW:
            return {}, {}
        key = ask_question(given, place.yes, "ssh_public_key", answers.check_public_key)
        return {"ssh_hostname": None, "server_ssh_keys": (key,)}, {}
    desired = {"host": host, "ssh_port": given["ssh_port"], "ssh_user": given["ssh_user"]}
    if place.yes or (desired == now and not is_asked):
        port = ask_question(given, place.yes, "ssh_port", answers.parse_port)
        user = ask_question(given, place.yes, "ssh_user", answers.check_user)
        return {"ssh_hostname": host, "ssh_port": port, "ssh_user": user}, {}
    tested = ask_server(given, host, place.directory, yes=False, current=now)
    known_hosts = str(KNOWN_HOSTS)
    before = place.read(known_hosts)
    after = tested.known_hosts(before)
    named = tested.server
    changes = {"ssh_hostname": named.address, "ssh_port": named.port, "ssh_user": named.user}
    return changes, {} if after == before else {known_hosts: after}


def _refuse_other_project(place: Place, given: Mapping[str, str | None]) -> None:
    """Raise Refused for a project or environments other than the project file's."""
    if not (text := place.read(place.project_file)):
        return
    declared = load(text)
    if (value := given.get("environments")) is not None:
        slugs = [each.slug for each in answers.parse_environments(value)]
        if slugs != [each.slug for each in declared.environments]:
            raise Refused(
                f"{place.project_file} has other environments: give --add-environment to add one",
                code="refused.edited",
            )
    if (value := given.get("project")) is not None and value.strip() != declared.project.name:
        raise Refused(
            f"{place.project_file} has the project {declared.project.name!r}: change its name "
            "there by hand, and its slug only before the first deploy",
            code="refused.edited",
        )


def _write(place: Place, files: Mapping[str, str], local: Mapping[Path, str] | None = None) -> bool:
    """Show the differences, ask, write the files, and return whether a person agreed.

    Args:
        files: the texts of files of the repository, by their paths.
        local: the texts of files in the services' directories, by their paths.
    """
    for path, text in files.items():
        show_difference(path, place.read(path), text)
    if not place.yes and not agree("Write this", "--yes", default=True):
        echo("Nothing was written.")
        return False
    changed = leave_out_unchanged(local or {})
    write_files({place.directory / path: text for path, text in files.items()} | changed)
    echo(f"Wrote {join_names((*files, *changed))}.")
    more = ", then `infisical-iac check --fix` on the services" if local else ""
    echo(f"Next: `infisical-iac plan`, `infisical-iac apply`{more}.")
    return True
