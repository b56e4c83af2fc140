"""`infisical-iac secrets`: list, set, unset and compare secrets without the web page."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from infisical_iac.cli.credentials import environment_option
from infisical_iac.cli.migrate import read_hash_key
from infisical_iac.cli.options import (
    FOUND,
    Lock,
    inventory_option,
    json_option,
    lock_options,
    project_file_option,
    yes_option,
)
from infisical_iac.cli.output import confirm, print_notes, print_table
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.core.terminal import echo, print_data, prompt_secret
from infisical_iac.core.validation import suggest
from infisical_iac.core.wording import pluralize
from infisical_iac.migrate import plan_file
from infisical_iac.migrate.apply import LONGEST_ITEM
from infisical_iac.migrate.findings import LONGEST_NAME, REFERENCE, is_withheld, safe_name, trim
from infisical_iac.workspace.credentials import ago
from infisical_iac.workspace.goal import Reached
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.reach import reach
from infisical_iac.workspace.stored_secrets import (
    FoundSecrets,
    SecretSlot,
    StoredSecret,
    find_environments,
    find_folder,
    read_secrets,
)

_HIDDEN = "hidden"
_WIDEST = 1000


@click.group()
def secrets() -> None:
    """List, set, unset and compare secrets, without the web page.

    Values are shown by a fingerprint only, and are read from standard input or a prompt, never
    from an argument. Equal values have equal fingerprints. The key of the fingerprints is
    ./migration.key, as for `infisical-iac migrate`; without it, nobody can guess a value from its
    fingerprint. A SECRET is its service or folder and its name, such as backend/STRIPE_KEY or
    /shared/SMTP_PASSWORD.
    """


class _Reaching(NamedTuple):
    """The connection that a command's options describe."""

    inventory: str
    project_file: Path | None

    def open(self, lock: Lock | None = None) -> AbstractContextManager[Reached]:
        """Connect, and take the lock of a host if one is given."""
        return reach(self.inventory, self.project_file, None, lock=lock, needs_admin=False)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the connection to a command; it gets them as its argument `reaching`."""

    @inventory_option
    @project_file_option("--workspace-file")
    @wraps(command)
    def with_reaching(*args: Any, inventory: str, project_file: Path | None, **options: Any) -> Any:
        return command(*args, reaching=_Reaching(inventory, project_file), **options)

    return with_reaching


version_option = click.option(
    "--if-version",
    "expected",
    type=click.IntRange(min=0),
    metavar="VERSION",
    help="Change nothing unless the secret has this version; 0 if it must not exist yet.",
)


@secrets.command("list", short_help="List secrets by name, version, age and fingerprint.")
@click.argument("place", required=False)
@click.option(
    *("--env", "--environment", "environment"),
    metavar="ENVIRONMENT",
    help="Slug of the only environment to list, such as production.",
)
@place_options
@json_option
def list_command(
    place: str | None, environment: str | None, reaching: _Reaching, as_json: bool
) -> None:
    """List the secrets of all folders, or of PLACE: a service or a folder such as /shared.

    The time of the last change counts changes of comments and tags too. No value is shown, and
    nothing is changed in Infisical.

    Exit status: 0, or 1 for an error.
    """
    with reaching.open() as reached:
        environments = find_environments(reached.desired, environment)
        found = _read(reached, environments, place)
    key = read_hash_key()
    if as_json:
        print_data({"secrets": [_data(each, key) for each in found.secrets]})
    elif found.secrets:
        columns = ("Environment", "Secret", "Version", "Changed", "Bytes", "Fingerprint")
        now = datetime.now(UTC)
        rows = (
            (
                each.environment,
                each.path,
                each.version,
                ago(now - each.changed),
                "" if each.size is None else each.size,
                _show_fingerprint(each, key),
            )
            for each in found.secrets
        )
        print_table(columns, rows, numbers=("Version", "Bytes"), width=_WIDEST)
    else:
        echo("No secrets found.")
    print_notes(_list_hidden(found, environments))


def _data(secret: StoredSecret, key: bytes) -> dict[str, Any]:
    return {
        "environment": secret.environment,
        "folder": secret.folder,
        "key": secret.key,
        "version": secret.version,
        "changed": f"{secret.changed:%Y-%m-%dT%H:%M:%SZ}",
        "bytes": secret.size,
        "fingerprint": None if secret.value is None else _show_fingerprint(secret, key),
    }


@secrets.command(
    "set",
    short_help="Write one secret from standard input or a prompt.",
    # Without this, click's error would show a value that is given as an argument.
    context_settings={"allow_extra_args": True},
)
@click.argument("secret")
@environment_option
@version_option
@click.option("--empty", is_flag=True, help="Write an empty value, without reading one.")
@place_options
@lock_options
@click.pass_context
def set_command(
    ctx: click.Context,
    secret: str,
    environment: str,
    expected: int | None,
    empty: bool,
    reaching: _Reaching,
    lock: Lock,
) -> None:
    """Write SECRET, such as backend/STRIPE_KEY, with the value from standard input or a prompt.

    The value is read back and compared. A value of several lines is stored byte for byte; a single
    line is stored without its line end. A value that begins or ends with blanks is refused, since
    Infisical would trim it. Nothing is written if the secret has this value already.

    With --if-version, nothing is written if somebody has changed the secret since that version,
    which `secrets list` shows. A change at the same moment can't be prevented: it is reported, and
    both values are in the secret's history.

    Exit status: 0 when the value is there; 2 if it waits for an approval; 1 for an error.
    """
    if ctx.args:
        raise _value_as_argument("there is an argument after the name")
    folder, name = _split(secret)
    value = "" if empty else _read_value()
    _refuse_unfit(value)
    with reaching.open(lock) as reached:
        key = read_hash_key()
        at = SecretSlot.find(reached.client, reached, environment, folder, name)
        before = at.read()
        at.refuse_changed(before, expected)
        if before and before.value == value:
            echo(f"= {_describe(before, key)}: it has this value already")
            return
        sign, made = "~" if before else "+", list[str]()
        with reached.recorded("secrets", made):
            waits = at.write(value, is_new=before is None)
            made.append(f"{'?' if waits else sign} secret {at}")
            after = None if waits else at.read_back(value, before)
    if after is None:
        echo(f"? {at}: the value waits for an approval in Infisical")
        ctx.exit(FOUND)
    echo(f"{sign} {_describe(after, key)}")
    print_notes(_notes(name, after))


@secrets.command("unset", short_help="Delete one secret.")
@click.argument("secret")
@environment_option
@version_option
@place_options
@yes_option
@lock_options
@click.pass_context
def unset_command(
    ctx: click.Context,
    secret: str,
    environment: str,
    expected: int | None,
    reaching: _Reaching,
    yes: bool,
    lock: Lock,
) -> None:
    """Delete SECRET, such as backend/STRIPE_KEY, in one environment.

    This can't be undone here: at most Infisical's web page still has the deleted value.

    Exit status: 0 when it is deleted; 2 if that waits for an approval; 1 for an error, or if you
    answer no.
    """
    folder, name = _split(secret)
    with reaching.open(lock) as reached:
        at = SecretSlot.find(reached.client, reached, environment, folder, name)
        before = at.read()
        if before is None:
            raise UserError(
                f"there is no secret {at}: see `infisical-iac secrets list`", code="error.no_secret"
            )
        at.refuse_changed(before, expected)
        confirm(f"Delete {at}, version {before.version}?", yes=yes)
        # The secret may have changed while the question was open.
        at.refuse_changed(at.read(), before.version)
        made: list[str] = []
        with reached.recorded("secrets", made):
            waits = at.delete()
            made.append(f"{'?' if waits else '-'} secret {at}")
    if waits:
        echo(f"? {at}: its deletion waits for an approval in Infisical")
        ctx.exit(FOUND)
    echo(f"- {at}: version {before.version} deleted")


@secrets.command(short_help="Compare the secrets of two environments by name and fingerprint.")
@click.argument("one")
@click.argument("other")
@click.argument("place", required=False)
@place_options
@json_option
@click.pass_context
def diff(
    ctx: click.Context,
    one: str,
    other: str,
    place: str | None,
    reaching: _Reaching,
    as_json: bool,
) -> None:
    """Compare the secrets of the environments ONE and OTHER, in all folders or in PLACE.

    PLACE is a service, or a folder such as /shared. `+` is only in OTHER, `-` only in ONE, `~` has
    different values, `=` has the same value in both, and `?` a value that this login may not read.

    Exit status: 0 if all names and values are equal; 2 if some differ; 1 for an error.
    """
    with reaching.open() as reached:
        environments = [*find_environments(reached.desired, one)]
        environments += find_environments(reached.desired, other)
        found = _read(reached, list(dict.fromkeys(environments)), place)
    key = read_hash_key()
    sides = [
        {each.place: each for each in found.secrets if each.environment == slug}
        for slug in environments
    ]
    pairs = {at: tuple(side.get(at) for side in sides) for at in sorted({*sides[0], *sides[1]})}
    signs = {at: _compare(*pair) for at, pair in pairs.items()}
    prints = {
        at: [_show_fingerprint(each, key) if each else "" for each in pair]
        for at, pair in pairs.items()
    }
    if as_json:
        states = {"+": f"only in {other}", "-": f"only in {one}", **_STATES}
        print_data(
            {
                "secrets": [
                    {
                        "folder": at[0],
                        "key": at[1],
                        "state": states[sign],
                        "fingerprints": dict(zip((one, other), prints[at], strict=True)),
                    }
                    for at, sign in signs.items()
                ]
            }
        )
    elif signs:
        rows = ((sign, f"{at[0].rstrip('/')}/{at[1]}", *prints[at]) for at, sign in signs.items())
        print_table(("", "Secret", one, other), rows, width=_WIDEST)
    else:
        echo("No secrets found.")
    print_notes(_list_hidden(found, environments))
    ctx.exit(0 if {*signs.values()} <= {"="} else FOUND)


_STATES = {"~": "different", "=": "equal", "?": "unknown"}


def _compare(one: StoredSecret | None, other: StoredSecret | None) -> str:
    if one is None or other is None:
        return "+" if one is None else "-"
    if one.value is None or other.value is None:
        return "?"
    return "=" if one.value == other.value else "~"


def _show_fingerprint(secret: StoredSecret, key: bytes) -> str:
    """Return the keyed hash of a value; `hidden` if it can't be read."""
    return _HIDDEN if secret.value is None else plan_file.digest(key, secret.value)


def _read(reached: Reached, environments: Sequence[str], place: str | None) -> FoundSecrets:
    folder = find_folder(reached.desired, place) if place else "/"
    layout = locate(reached.client, reached, partly=True)
    found = read_secrets(reached.client, layout, environments, folder)
    known = reached.desired.folders
    if not any(found) and folder not in ("/", *known):
        raise UserError(
            f"there is no secret in {folder}, and the project file has no such folder: "
            f"{suggest(folder, known)}",
            code="error.no_folder",
        )
    return found


def _list_hidden(found: FoundSecrets, environments: Sequence[str]) -> Iterator[str]:
    """Yield notes on the secrets and values that the login may not read."""
    for slug in dict.fromkeys(environments):
        if slug in {refused for _, refused in found.refused}:
            yield f"this login may not see all secrets in {slug}."
        hidden = sum(each.environment == slug and each.value is None for each in found.secrets)
        if hidden:
            yield f"this login may not read the values of {pluralize(hidden, 'secret')} in {slug}."


def _describe(secret: StoredSecret, key: bytes) -> str:
    value = "value hidden"
    if secret.size is not None:
        value = f"{pluralize(secret.size, 'byte')}, fingerprint {_show_fingerprint(secret, key)}"
    return f"{secret}: version {secret.version}, {value}"


def _split(secret: str) -> tuple[str, str]:
    """Return the service or folder of a secret, and its name. Raises Refused."""
    if "=" in secret:
        raise _value_as_argument("the argument has a `=`")
    folder, slash, name = secret.rpartition("/")
    if not slash:
        raise Refused(
            f"{secret} has no service or folder: write it before the name, such as backend/{secret}"
            f" or /shared/{secret}",
            code="refused.no_place",
        )
    if not name or ":" in name or not name.isprintable() or " " in name or not safe_name(name, ""):
        raise Refused(
            f"Infisical takes no secret with the name {name!r}: write letters, digits and "
            "underscores",
            code="refused.secret_name",
        )
    if len(plan_file.encode(name)) > LONGEST_NAME:
        raise Refused(
            f"the name is longer than {LONGEST_NAME} bytes: write a shorter one",
            code="refused.secret_name",
        )
    return folder or "/", name


def _value_as_argument(reason: str) -> Refused:
    return Refused(
        f"nothing was written, as {reason}: give the name only, and the value on standard input or "
        "at the prompt, since other users and the shell's history can see arguments",
        code="refused.value_as_argument",
    )


def _read_value() -> str:
    """Return the value from a prompt on a terminal, or else from standard input. Raises Refused."""
    if sys.stdin.isatty():
        value = prompt_secret("Value")
        if prompt_secret("The same value again") != value:
            raise Refused(
                "the two values differ, so nothing was written: run it again",
                code="refused.no_value",
            )
        return value
    # A value of the greatest length with a line end, and one byte to recognize longer ones.
    data: bytes = sys.stdin.buffer.read(LONGEST_ITEM + 3)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Refused(
            "the value on standard input is not UTF-8, so nothing was written: write it as base64 "
            "that the code decodes",
            code="refused.encoding",
        ) from None
    line = text.removesuffix("\n").removesuffix("\r")
    value = text if "\n" in line else line
    if not value:
        raise Refused(
            "there is no value on standard input, so nothing was written: give --empty if it is to "
            "be empty",
            code="refused.no_value",
        )
    return value


def _refuse_unfit(value: str) -> None:
    """Raise Refused for a value that Infisical or a process can't take as it is."""
    if "\0" in value:
        raise Refused(
            "the value has a NUL, which no environment can hold, so nothing was written: write it "
            "as base64 that the code decodes",
            code="refused.encoding",
        )
    if trim(value) != value:
        raise Refused(
            "the value begins or ends with blanks, which Infisical would trim, so nothing was "
            "written: leave them out, or write it as base64 that the code decodes",
            code="refused.blanks",
        )
    if len(plan_file.encode(value)) > LONGEST_ITEM:
        raise Refused(
            f"the value is longer than {LONGEST_ITEM} bytes, so nothing was written: store it in a "
            "file, and the file's path in Infisical",
            code="refused.long_value",
        )


def _notes(name: str, secret: StoredSecret) -> Iterator[str]:
    if secret.value is None:
        yield "the value was not read back, as this login may not read it."
    elif REFERENCE.search(secret.value):
        yield (
            "the value holds ${…}, which Infisical replaces for clients that read it expanded; the "
            "loaders read it as it is."
        )
    if is_withheld(name):
        yield f"the loaders withhold {name}, unless `allow` of .infisical.json names it."
