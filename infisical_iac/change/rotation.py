"""A new key in the place of an old one; the old one comes back if the new one does not work."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyinfra.context import host

from infisical_iac.change import gate, repositories
from infisical_iac.change.gate import Before
from infisical_iac.change.keys import Key, RotationError
from infisical_iac.change.state import COMPOSE_FILE
from infisical_iac.cluster import deploy, share
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal, session
from infisical_iac.core.errors import UserError
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.operations import redis_passwords
from infisical_iac.rotation.state import Unfinished, unfinished
from infisical_iac.stack import compose as stack


@telling_operation
def ended(
    state: str, *, compose: str, settings: Settings, project: str, site: Site | None = None
) -> Commands:
    """End a rotation that was interrupted: completed if it is well, else undone.

    A backup target that does not answer leaves the rest of the run to go on; the rotation is then
    ended by a later one.

    Args:
        state: what the host says of it, empty if there is none.
        compose: the text of the Compose file, for a host that has none any more.
        site: of a cluster, which has no such file.
    """
    found = unfinished(state)
    if found is None:
        host.noop("no rotation is under way")
        return
    journal.item("~", "unfinished rotation", f"{found.key.name}, {found.told}")
    yield step(_recover, found, compose, settings, project, site)


def _recover(
    found: Unfinished, compose: str, settings: Settings, project: str, site: Site | None
) -> None:
    seen = site or run(f"test ! -e {COMPOSE_FILE} || echo there", doing="see what is deployed")
    if not seen:
        write(COMPOSE_FILE, compose)
    try:
        journal.current().shown.append(recover(found, settings, project, site))
    except RotationError as error:
        if found.key.name != "restic":
            raise
        journal.current().shown.append(str(error))


def made(key: Key, settings: Settings, project: str, site: Site | None = None) -> list[str]:
    """Replace a key, and return what is to be said of it.

    Raises RotationError, with the old key in its place and at work, or with how it comes to.

    Args:
        project: the slug of the project whose secrets are read before and after.
        site: of a cluster, where the replicas are made anew one after the other.
    """
    if key.name == "restic":
        _refuse_append_only(settings)
        return repositories.made(key, _own(site))
    if site and key.name == "redis" and (away := _away(site)):
        raise RotationError(
            f"{', '.join(away)} can't be reached, and its Redis would let the old key in for ever: "
            "bring it back first; nothing was changed"
        )
    before = gate.before(settings, project, stack.published_port())
    _step("prepare", key.file, doing="make the next key")
    with _or_back(key, settings, site):
        if site and key.name == "redis":
            redis_passwords.admit(site.cluster)
        told = _complete(key, settings, project, before, site)
    _end(key, site)
    return told


def recover(found: Unfinished, settings: Settings, project: str, site: Site | None = None) -> str:
    """End a rotation that was interrupted, and return how. Raises RotationError if it can't be."""
    key = found.key
    if key.name == "restic":
        return repositories.recover(found, _own(site))
    if found.way == "complete":
        # What could be read before is not known any more, but the deployer must get in.
        with _or_back(key, settings, site):
            _complete(key, settings, project, Before({}, public=False), site)
    elif found.way == "go back":
        _go_back(key, settings, site, "it was interrupted")
    _end(key, site)
    return (
        f"The new {key.name} key is in use."
        if found.ends_new
        else f"The {key.name} key is the old one."
    )


def _refuse_append_only(settings: Settings) -> None:
    names = [each.name for each in settings.backup_targets if each.append_only]
    if names:
        raise RotationError(
            f"the backup target {' and '.join(names)} is append-only: the host could let the new "
            "password in there and not put the old one out; let it remove for the time of the "
            "rotation, at the server and in the settings; nothing was changed"
        )


def _own(site: Site | None) -> dict[str, list[str]]:
    """By each other data node of a cluster that is connected, the repositories of its own."""
    if site is None:
        return {}
    directories = [each.name for each in site.settings.backup_targets if each.kind == "directory"]
    others = [each for each in site.cluster.nodes if each.number and each != site.cluster.me]
    if directories and (away := _away(site)):
        raise RotationError(
            f"{', '.join(away)} can't be reached, and has repositories of its own that the key "
            "opens: bring it back first; nothing was changed"
        )
    # One without any has the password too, before the old one is put out where all save.
    return {each.name: directories for each in others if each.up}


def _away(site: Site) -> list[str]:
    """The data nodes that can't be reached."""
    return [each.name for each in site.cluster.nodes if each.number and not each.up]


def _complete(
    key: Key, settings: Settings, project: str, before: Before | None, site: Site | None
) -> list[str]:
    """Put the new key in place; the containers that know the old one are made anew."""
    _step("switch", doing="put the new key in place")
    _use(key, settings, site)
    port = stack.published_port()
    return gate.passed(settings, project, before, port=port, same_data=True)


def _use(key: Key, settings: Settings, site: Site | None) -> None:
    """Bring everything that has the key to the one that is in its place."""
    run(script("keys", "derive"), doing="write /etc/infisical/.env")
    if key.name == "database":
        if site:
            _let_others_know(key, site)
        _step("alter", doing="give PostgreSQL its password")
    session.forget()
    if site:
        deploy.roll_out(cluster_site.running(site))
    else:
        stack.up(settings.start_timeout)


def _let_others_know(key: Key, site: Site) -> None:
    """Have whichever node may lead next know the key, and the one that PostgreSQL knows still."""
    repositories.hand_out(_others(site), f"{key.file}.old", f"{key.file}.next")
    share.spread(site.cluster)


def _end(key: Key, site: Site | None) -> None:
    if site and key.name == "database":
        repositories.forget(_others(site), key)
    if site and key.name == "redis":
        redis_passwords.alone(site.cluster)
    _step("end", doing="end the rotation")


def _others(site: Site) -> list[str]:
    cluster = site.cluster
    return [node.name for node in cluster.connected if node.number and node != cluster.me]


@contextmanager
def _or_back(key: Key, settings: Settings, site: Site | None) -> Iterator[None]:
    """Go back if the context fails, and raise RotationError with what is in use then."""
    try:
        yield
    except (UserError, KeyboardInterrupt) as error:
        reason = str(error) or "it was interrupted"
        _go_back(key, settings, site, reason)
        _end(key, site)
        raise RotationError(
            f"the new {key.name} key was given up, and the old one is in use again: {reason}"
        ) from None


def _go_back(key: Key, settings: Settings, site: Site | None, reason: str) -> None:
    try:
        if site and key.name == "redis":
            redis_passwords.admit(site.cluster, all_of_them=False)
        _step("back", doing="bring the old key back")
        _use(key, settings, site)
    except UserError as error:
        raise RotationError(
            f"the old {key.name} key could not be brought back to work ({error}); it is not lost, "
            f"and `infisical-iac apply` tries again. What came before: {reason}"
        ) from None


def _step(name: str, *arguments: str, doing: str) -> str:
    return run(script("rotation", name, *arguments), doing=doing)
