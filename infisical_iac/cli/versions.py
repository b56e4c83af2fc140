"""`infisical-iac outdated` and `rollback`: show new versions, and go back to an earlier one."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from infisical_iac.agent.data import GivenUp
from infisical_iac.backup.record import size
from infisical_iac.change.releases import Release, Rollback, choose, parse_unfinished
from infisical_iac.cli.options import (
    FOUND,
    Lock,
    inventory_option,
    json_option,
    lock_options,
    open_host,
    require_project_file,
)
from infisical_iac.cli.output import confirm_name, print_notes, print_table
from infisical_iac.core import bundle
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.own_repository import PYPROJECT
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.stack.model import GIVEN_UP_HELP

if TYPE_CHECKING:
    from infisical_iac.change.outdated import PinnedImage, VersionReport
    from infisical_iac.change.tool_versions import ChangelogSection
    from infisical_iac.core.errors import UserError
    from infisical_iac.core.settings import Settings


@click.command("outdated")
@inventory_option
@json_option
@click.option(
    "--pin",
    is_flag=True,
    help="Print settings that pin each image by its digest, not the table of versions.",
)
@click.option(
    "--since",
    metavar="VERSION",
    help="Print what the changelog of this version says since VERSION, not the table of versions.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Also ask GitHub for the notes of newer releases, and leave the result on the hosts: "
    "their monitors alert about those on security.",
)
@click.pass_context
def outdated_command(
    ctx: click.Context, inventory: str, as_json: bool, pin: bool, since: str | None, keep: bool
) -> None:
    """Show new versions of this tool and of the images that the settings pin.

    The package client that installed this tool is asked for its newest version, and each image's
    own registry for its tags. Only tags of the same form count: with the same suffix, and no
    pre-releases. A newer major version is shown as well. A version is shown as not known if nothing
    answers within seconds. Nothing is changed, and only --keep needs a host.

    With --since, VERSION is a version of this tool.

    Exit status: 0 for nothing newer, also if nothing answers; 2 for newer versions (a newer major
    version alone does not count); 1 for an error.
    """
    if keep and (pin or since is not None):
        raise click.UsageError("--keep is for the table of versions: leave out --pin and --since.")
    if since is not None:
        _show_changelog(since, as_json=as_json)
        return
    settings = _read_settings(inventory)
    if keep and settings.monitoring.monitoring == "off":
        raise SettingsError(
            "--keep leaves the result for the hosts' monitors: set monitoring to 'on', and apply",
            code="settings.no_monitoring",
        )
    if pin:
        _show_digests(settings, as_json=as_json)
        return
    from infisical_iac.change import outdated as versions

    reports, sections = (
        versions.compare(settings, timeout=versions.TIME_LIMIT),
        _list_sections_since_pin(),
    )
    if keep:
        reports = _keep(reports, inventory)
    if as_json:
        changes = {each.version: each.text for each in sections}
        print_data({"versions": [each.as_data() for each in reports], "changelog": changes})
    else:
        print_table(
            ("name", "pinned", "newest", "newer major"),
            [(each.name, each.pinned, _newest(each), each.major) for each in reports],
        )
        for line in _list_steps(reports):
            echo(line)
        _print_sections(sections)
    print_notes(f"{each.name}: not known: {each.unknown}" for each in reports if each.unknown)
    ctx.exit(FOUND if any(each.newest for each in reports) else 0)


def _keep(reports: "list[VersionReport]", inventory: str) -> "list[VersionReport]":
    """Return the reports with security notes, after the monitors of the hosts have got them."""
    from infisical_iac.change import outdated as versions
    from infisical_iac.change.outdated import add_security_notes, to_record

    found = add_security_notes(reports, timeout=versions.TIME_LIMIT)
    record = to_record(found, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    with open_host(inventory, quorum=False) as (host, _):
        from infisical_iac.core.connection import each_of, with_others
        from infisical_iac.monitoring.deploy import keep_releases

        each_of(with_others(host), lambda _: keep_releases(record))
    return found


def _read_settings(inventory: str) -> "Settings":
    # The import patches the process with gevent, which --since does not need.
    from infisical_iac.core import inventory as hosts
    from infisical_iac.core.settings import load

    with hosts.read_hosts(inventory) as found:
        if not found:
            raise SettingsError(
                f"{inventory} names no host: add one to it", code="settings.inventory"
            )
        return load(found[0].data.dict())  # type: ignore[no-untyped-call]


def _newest(report: "VersionReport") -> str:
    if report.unknown:
        return "?"
    return report.newest or "-"


def _list_steps(reports: "Sequence[VersionReport]") -> Iterator[str]:
    """Yield what to do about each newer version."""
    newer = [each for each in reports if each.newest and each.setting]
    if newer:
        yield "\nSet in group_data/, then run `infisical-iac plan`:\n"
        for each in newer:
            yield f"    {_setting_line(each)}"
    for each in reports:
        if each.security:
            yield f"\n{each.name}: {each.newest} has a security note: {each.security}."
        for note in each.notes:
            yield f"\n{each.name}: {note}."


def _setting_line(report: "VersionReport") -> str:
    version = f"{report.newest}@{report.digest}" if report.digest else report.newest
    if report.setting == "infisical_version":
        return f'{report.setting} = "{version}"'
    return f'{report.setting} = "{report.image.removesuffix(report.pinned)}{version}"'


def _show_changelog(since: str, *, as_json: bool) -> None:
    from infisical_iac.change import tool_versions

    if not tool_versions.version_numbers(since):
        raise SettingsError(
            f"--since: {since!r} is not a version; write one such as 0.1.0", code="settings.version"
        )
    running, text = bundle.version(), tool_versions.read_changelog()
    found = tool_versions.select_sections(text, after=since, until=running)
    if as_json:
        print_data({"changelog": {each.version: each.text for each in found}})
        return
    if not found:
        echo(f"The changelog of {running} has nothing since {since}.")
    _print_sections(found)


def _list_sections_since_pin() -> "list[ChangelogSection]":
    """Return the changelog from the version that this repository pins to the running one."""
    from infisical_iac.change import tool_versions

    text = PYPROJECT.read_text("utf-8") if PYPROJECT.is_file() else ""
    pin = tool_versions.find_pin(text, bundle.NAME)
    if not pin:
        return []
    changelog = tool_versions.read_changelog()
    return tool_versions.select_sections(changelog, after=pin, until=bundle.version())


def _print_sections(sections: "Sequence[ChangelogSection]") -> None:
    for each in sections:
        echo(f"\n{each.version}\n\n{each.text}")


def _show_digests(settings: "Settings", *, as_json: bool) -> None:
    from infisical_iac.change import outdated as versions

    found = versions.read_digests(settings, timeout=versions.TIME_LIMIT)
    known = [(image, digest) for image, digest in found if isinstance(digest, str)]
    if as_json:
        print_data(
            [
                {"setting": image.setting, "image": image.reference, "digest": digest}
                for image, digest in known
            ]
        )
    else:
        for image, digest in known:
            echo(_pin_line(image, digest))
    print_notes(_list_digest_notes(found))


def _pin_line(image: "PinnedImage", digest: str) -> str:
    if image.setting == "infisical_version":
        return f'{image.setting} = "{image.parts.tag}@{digest}"'
    name, _, _ = image.reference.partition("@")
    return f'{image.setting} = "{name}@{digest}"'


def _list_digest_notes(found: "Sequence[tuple[PinnedImage, str | UserError]]") -> Iterator[str]:
    for image, digest in found:
        name, _, pinned = image.reference.partition("@")
        if not isinstance(digest, str):
            yield f"{name}: not known: {digest}"
        elif pinned and pinned != digest:
            yield f"{name} is {digest} by now, and the settings pin {pinned}: find out why first"


def _show_releases(releases: Iterable[Release], kept: Iterable[GivenUp], *, as_json: bool) -> None:
    """Print the complete releases, as a table or as JSON.

    Args:
        kept: the data of changes that were given up, which are listed below the table.
    """
    found: list[dict[str, Any]] = [
        {
            "release": each.name,
            "at": each.manifest.at,
            "infisical": each.manifest.infisical,
            "postgresql": each.manifest.postgres,
            "migrations": each.migrations,
            "bytes": each.bytes,
            "images": each.images,
        }
        for each in releases
        if each.manifest
    ]
    if as_json:
        print_data(found)
    elif found:
        names = ("release", "at", "infisical", "postgresql", "migrations")
        print_table(
            ("Release", "At", "Infisical", "PostgreSQL", "Migrations", "Size"),
            ([*(row[name] for name in names), size(row["bytes"])] for row in found),
            numbers=("Migrations", "Size"),
        )
    else:
        echo("There is no release on the host yet: the first upgrade keeps one.")
    for each in kept:
        echo(f"Kept: {each.describe()}; {GIVEN_UP_HELP}.", err=True)


@click.command()
@click.argument("release", required=False)
@inventory_option
@json_option
@lock_options
@click.option(
    "--list", "only_list", is_flag=True, help="List the kept releases, and change nothing."
)
@click.option(
    "--keep-data",
    is_flag=True,
    help="Go back to the earlier version only, and keep the present data.",
)
@click.option(
    "--bring-writes",
    is_flag=True,
    help="Write the present secrets to the earlier data, where those lack them or differ.",
)
@click.option("--confirm", metavar="RELEASE", help="Give the release's name instead of typing it.")
def rollback(
    release: str | None,
    inventory: str,
    as_json: bool,
    lock: Lock,
    only_list: bool,
    keep_data: bool,
    bring_writes: bool,
    confirm: str | None,
) -> None:
    """Go back to RELEASE, or to the newest one: to its version of Infisical and its data.

    The running version is first kept as a release, and is put back if the checks fail. The data of
    RELEASE lack everything written since, so you must type its name. With --bring-writes, values
    and comments of secrets are written to them before anybody else reaches the earlier version.

    Exit status: 0 when the release serves; 1 for an error, with the version that serves now.
    """
    if as_json and not only_list:
        raise click.UsageError("--json goes with --list")
    if keep_data and bring_writes:
        raise click.UsageError("--keep-data keeps all writes: leave out --bring-writes")
    if only_list:
        _list_releases(inventory, as_json=as_json)
        return
    with open_host(inventory, lock, check=require_project_file) as (_, settings):
        from infisical_iac.change import kept_releases, keys, rotation, upgrade
        from infisical_iac.change.upgrade import VersionChanges
        from infisical_iac.host.machine import read_machine
        from infisical_iac.host.site import at, site_of
        from infisical_iac.workspace.load import load_declared

        project = load_declared(settings.workspace).project.slug
        changes = at(site_of(settings), VersionChanges)
        if bring_writes:
            changes.refuse_bringing_writes()
        machine = read_machine()
        machine.refuse_changing()
        rotating = keys.parse_unfinished(machine.rotating)
        if rotating and rotating.key.name != "restic":  # The backups' password can change later.
            rotation.end_unfinished(rotating, settings, project)
        machine.refuse_restoring()
        if begun := parse_unfinished(machine.upgrading):
            upgrade.end_unfinished(begun, settings, project)
        chosen = choose(kept_releases.read_releases(), release)
        was = upgrade.refuse_release(chosen, settings, keep_data=keep_data)
        assert chosen.manifest
        but = " except for secrets" if bring_writes else ""
        lost = "" if keep_data else f", without anything written since {chosen.manifest.at}{but}"
        what = f"This goes back to Infisical {chosen.manifest.infisical}{lost}."
        confirm_name(what, "the release's", chosen.name, confirm)
        sentences = changes.go_to(Rollback(chosen, was, keep_data, bring_writes), project)
    for sentence in sentences:
        echo(sentence)


def _list_releases(inventory: str, *, as_json: bool) -> None:
    with open_host(inventory):
        from infisical_iac.change import kept_releases

        _show_releases(
            kept_releases.read_releases(), kept_releases.read_given_up(), as_json=as_json
        )
