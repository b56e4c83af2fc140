"""Render and check compose.yaml, load the images, start the containers, wait for their health."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.context import host, state

from infisical_iac.agent import stack as agent_stack
from infisical_iac.agent.docker import present_images
from infisical_iac.agent.files import PathState
from infisical_iac.core import files, journal
from infisical_iac.core.agent import ask, inspect, perform, question
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.errors import CheckFailed, CommandFailed, SettingsError, UserError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import digest, template
from infisical_iac.core.settings import METRICS_VARIABLES, Settings
from infisical_iac.core.validation import mebibytes
from infisical_iac.host.model import MachineState
from infisical_iac.instance import authorities
from infisical_iac.instance.network import PROXY_PASSWORD
from infisical_iac.instance.settings import EXTRA_CA
from infisical_iac.stack import ingress_kinds, session
from infisical_iac.stack.ingress_kinds import REVISION_PORT
from infisical_iac.stack.model import parse_compose, port_of
from infisical_iac.stack.pull import ImageSources, pull
from infisical_iac.stack.settings import StackSettings, image_name
from infisical_iac.stack.state import (
    COMPOSE_FILE,
    STACK_FILE,
    DeploymentState,
    StackState,
    compare_connections,
    deployment_question,
    missing_images,
)

# The user of Redis and the role of PostgreSQL that only read metrics.
METRICS_USER = "infisical_metrics"

# World-writable, so each upload gets a private directory in it.
_UPLOADS, _UPLOAD = "/var/tmp", "infisical-iac-images."


@planned_operation
def image_set(images: Sequence[str], sources: ImageSources) -> Commands:
    """Load or pull `images` in advance; the plan of `running` already lists them."""
    yield from decide_images(missing_images(images), sources)


def decide_images(missing: Sequence[str], sources: ImageSources) -> Commands:
    """Decide which images to fetch, by those `missing` on the host."""
    if not missing:
        yield UpToDate("all images are on the host")
        return
    yield step(fetch, missing, sources)


@planned_operation
def running(*, settings: Settings, compose: Callable[[Settings], str]) -> Commands:
    """Bring the stack to the state that the settings describe.

    Steps that can fail without harm come first: loading all images from archives (paths on this
    machine) or pulling them, and checking the new file by Compose. Only then the file is replaced
    and containers change. If a change of version is refused, the running version stays. Raises
    UserError with the last log lines of containers that are not healthy within the settings'
    `start_timeout`.

    Args:
        compose: returns the text of compose.yaml for settings.
    """
    run_of_host = journal.current()
    if kept := run_of_host.kept:
        settings = settings.keeping(kept)
    file = File(COMPOSE_FILE, compose(settings), mode="600")
    found = observe(file.content, settings.images)
    yield from decide(file, found, settings, without=run_of_host.without)


def decide(
    file: File, found: DeploymentState, settings: Settings, *, without: Collection[str] = ()
) -> Commands:
    """Decide how to change the stack, by its state `found`, for the desired `file`.

    The services `without` stay as they are.
    """
    there, missing = found.file, found.stack.missing(settings.images)
    stack = found.stack.without(without)
    if file.matches(there) and stack.hashes and not stack.differences() and not missing:
        yield UpToDate("all containers are as compose.yaml says, and healthy")
        return
    yield from _differences(file, there, stack, missing)
    if missing:
        yield step(fetch, missing, sources_of(settings.stack))
    if not file.matches(there):
        yield step(write, file)
    yield step(up, settings.stack.start_timeout, without)


def observe(compose: str, images: Sequence[str]) -> DeploymentState:
    """Return the deployed state, compared with the desired Compose file; for operations."""
    return inspect(deployment_question(compose=compose, images=images))


def _differences(
    file: File, there: PathState | None, stack: StackState, missing: Sequence[str]
) -> Iterator[Change | Unknown]:
    if there is None and not stack.containers:
        for image in missing:
            yield Change("+", f"image {image}")
        yield Change("+", file.path)
        for service in parse_compose(file.content)["services"]:
            yield Change("+", f"container {service}")
        return
    if not file.matches(there):
        yield files.difference(file, there)
    if not stack.engine:
        yield Unknown(session.NO_ENGINE)
        return
    for image in missing:
        yield Change("+", f"image {image}")
    if not stack.hashes:
        yield Unknown(
            "the containers can be compared with compose.yaml once Compose and the keys are there"
        )
        return
    for service, reason in stack.differences().items():
        if service not in stack.hashes:
            yield Change("-", f"container {service}", reason)
        elif service in stack.containers:
            yield Change("~", f"container {service}", reason)
        else:
            yield Change("+", f"container {service}")


def sources_of(settings: StackSettings) -> ImageSources:
    """Return the sources of images that the settings name."""
    return ImageSources(settings.image_archives, settings.registry_login)


def fetch(missing: Sequence[str], sources: ImageSources) -> None:
    """Load images from archives, or pull them. Raises UserError before any container changes."""
    for archive in sources.archives:
        _load(Path(archive))
    present: Collection[str] = ()
    if sources.archives:
        # An archive has tags only, so for a pinned image its tag is enough.
        tags = {image_name(each): each for each in missing}
        present = ask(question(present_images, images=[*missing, *tags]))
        _refuse_digests(missing, present)
    for image in missing:
        if image not in present:
            pull(image, sources.logins)


def _refuse_digests(missing: Sequence[str], present: Collection[str]) -> None:
    """Raise SettingsError if an archive has the tag of a pinned image, but not its digest."""
    for image in missing:
        if image not in present and image_name(image) in present:
            raise SettingsError(
                f"{image_name(image)} comes from an archive, and Docker knows no digest of such an "
                f"image to compare with {image.partition('@')[2]}: remove the digest from the "
                "settings, as the archive itself pins the image",
                code="settings.archive_digest",
            )


def _load(archive: Path) -> None:
    if not archive.is_file():
        raise SettingsError(
            f"setting 'image_archives': {archive} does not exist on this machine: make it with "
            "`docker save`, or remove it from the setting"
        )
    size = archive.stat().st_size / 1024**2
    logger.info(f"{host.print_prefix}Uploading {archive} ({size:.0f} MB)")
    directory = _upload_directory()
    upload = f"{directory}/images.tar"
    try:
        host.put_file(str(archive), upload, print_input=state.print_input)
    except OSError as error:
        run(f"rm -rf {directory}", doing=f"remove {directory}")
        raise UserError(
            f"could not upload {archive} to {upload} ({error}): make sure that the host's disk "
            f"has {size:.0f} MB free there, and as much again for Docker"
        ) from None
    run(
        f"docker load --quiet --input {upload}; status=$?; rm -rf {directory}; exit $status",
        doing=f"load the images of {archive}",
    )


def _upload_directory() -> str:
    """Create an upload directory on the host, and remove those that earlier runs left."""
    # The SSH user uploads the archive, so the directory must be theirs, not root's.
    made, output = host.run_shell_command(
        StringCommand(
            f"find {_UPLOADS} -maxdepth 1 -user $(id -u) -name '{_UPLOAD}*' -exec rm -rf {{}} +; "
            f"mktemp -d {_UPLOADS}/{_UPLOAD}XXXXXXXX"
        ),
        print_output=False,
        print_input=state.print_input,
        _sudo=False,
    )
    if not made:
        reason = " / ".join(output.stderr_lines[-3:]) or "no reason given"
        raise UserError(
            f"could not make a directory for images on the host: {reason}",
            code="error.upload_directory",
        )
    return output.stdout.strip()


def write(file: File) -> None:
    """Write compose.yaml once Compose has checked it. Raises CommandFailed."""
    asked = question(agent_stack.write_compose, file=file.path, text=file.content)
    perform(asked, doing=f"write {file.path}")


def up(timeout: int, without: Collection[str] = ()) -> None:
    """Bring the containers to the state of a file on the host, and wait until all are healthy.

    Compose does not compare networks, does not reconnect containers, and does not see changes by
    `docker update`. So containers with wrong connections or limits are re-created. Raises
    UserError with the last log lines of containers that are not healthy within `timeout` seconds.
    The services `without` stay as they are.
    """
    failure = ""
    try:
        bring_up(without)
    except CommandFailed as error:
        failure, timeout = f" ({error})", 1
    unhealthy = list_unhealthy(timeout, without)
    if not unhealthy:
        return
    raise CheckFailed(agent_stack.describe_unhealthy(unhealthy, failure))


def list_unhealthy(timeout: int, without: Collection[str] = ()) -> str:
    """Wait until all containers are healthy; else return those that are not, with log lines.

    Args:
        timeout: the most seconds to wait.
        without: services that are not waited for.
    """
    found = ask(question(agent_stack.await_health, seconds=timeout, without=sorted(without)))
    return "\n".join(each.describe() for each in found)


def bring_up(without: Collection[str] = ()) -> None:
    """Bring the containers to the state of compose.yaml. Raises CommandFailed.

    Arguments as for `up`.
    """
    seen = ask(question(agent_stack.connections))
    found = compare_connections(seen.compose, seen)
    asked = question(
        agent_stack.up,
        without=sorted(without),
        services=sorted(found.wrong().keys() - {*without}),
        networks=found.foreign(),
    )
    perform(asked, doing="bring the containers up")


def compose_text() -> str:
    """Return the text of compose.yaml on the current host, or of stack.yaml on a cluster."""
    return run(
        f"cat {STACK_FILE} 2>/dev/null || cat {COMPOSE_FILE}",
        doing=f"read {STACK_FILE} or {COMPOSE_FILE}",
    )


def published_port() -> int:
    """Return the port on which the current host publishes the API, independent of the settings."""
    return port_of(compose_text())


def shared_values(settings: Settings, machine: MachineState) -> dict[str, object]:
    """Return the values that the templates of compose.yaml and stack.yaml share."""
    memory = mebibytes(settings.stack.infisical_memory)
    return {
        "settings": settings,
        # The heap gets two thirds, because Node keeps data outside of it too.
        "node_options": f"--max-old-space-size={memory * 2 // 3}",
        "variables": settings.instance.variables,
        # Variables of the user's secrets. A secret that is part of an address has no variable of
        # its own.
        "given": [each.variable for each in settings.instance.secrets if not each.is_in_address],
        "internal_connections": bool(settings.instance.internal_networks),
        "redis_maxmemory_mb": redis_maxmemory_mb(settings),
        "start_interval": machine.system is not None and machine.system.start_interval,
        "revision_port": REVISION_PORT,
    }


def redis_maxmemory_mb(settings: Settings) -> int:
    """Return the limit of Redis's data in MiB; a quarter of its memory is for other needs."""
    return mebibytes(settings.stack.redis_memory) * 3 // 4


def trusted_networks(settings: Settings) -> tuple[str, ...]:
    """Return the networks of the proxy, whose X-Forwarded-For Infisical trusts."""
    proxies = settings.stack.ingress_kind.proxies
    return tuple(dict.fromkeys((*settings.stack.trusted_proxy_cidrs, *proxies)))


def compose_file(
    settings: Settings, machine: MachineState, *, drill: bool = False, image: str = ""
) -> str:
    """Return the text of compose.yaml, or of the isolated stack for a `drill`.

    Args:
        image: the image of Infisical; by default that of the settings, or for a drill that of the
            variable INFISICAL_IMAGE.
    """
    values, stack = shared_values(settings, machine), settings.stack
    kind, trusted_ca = stack.ingress_kind, authorities.read_authorities(settings)
    proxy = settings.instance.proxy
    if drill:
        # A drill has no outbound connections, and must not even try to send mail or call others.
        values |= {"variables": {}, "given": [], "internal_connections": False}
        trusted_ca = ""
    return template(
        "compose.yaml",
        **values,
        drill=drill,
        metrics=METRICS_VARIABLES if settings.monitoring.monitoring_listen and not drill else {},
        metrics_user=METRICS_USER,
        image=image or ("${INFISICAL_IMAGE:?}" if drill else stack.infisical_reference),
        cpus=stack.infisical_cpus / (2 if drill else 1),
        # From version 18 on, the official image keeps its data in a folder named after the version.
        postgres_mount=f"/var/lib/postgresql{'/data' if stack.postgres_major < 18 else ''}",
        # The constants of agent/stack.py are longer than an interval and a check:
        # tests/unit/stack/test_health_intervals.py.
        interval="30s" if values["start_interval"] else "10s",
        caddy=stack.runs_caddy and not drill,
        behind_proxy="" if drill else kind.behind_proxy,
        proxy_network=kind.proxy_network(settings),
        labels=kind.labels(settings),
        secret_label=kind.secret_label,
        trusted=trusted_networks(settings),
        upstream=ingress_kinds.UPSTREAM,
        proxy_url=proxy.url(f"${{{PROXY_PASSWORD}:-}}")
        if proxy and proxy.user and not drill
        else "",
        extra_ca=f"/extra-ca-{digest(trusted_ca)}.crt" if trusted_ca else "",
        extra_ca_file=EXTRA_CA,
    )
