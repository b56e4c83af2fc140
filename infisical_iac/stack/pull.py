"""Pull images on the host, logged in to their registry if needed, and explain failures."""

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.core.errors import CommandFailed, UserError
from infisical_iac.core.images import parse_reference
from infisical_iac.core.remote import run
from infisical_iac.stack.registry_login import RegistryLogin, choose_login, read_password

# The limit for a pull, in seconds. Docker itself waits forever for a layer that does not arrive.
_LIMIT = 900
_TIMED_OUT = f"no answer within {_LIMIT} seconds"
_MOST_CHARACTERS = 300


class ImageSources(NamedTuple):
    """The sources of images.

    Attributes:
        archives: paths on this machine, made by `docker save`.
        logins: for the registries that ask for one.
    """

    archives: Sequence[str] = ()
    logins: Sequence[RegistryLogin] = ()


# By a pattern of Docker's message, the reason, the code of the error and the remedy. The first
# match counts. Docker words an error differently with its own image store and with containerd's.
_FAILURES = (
    (
        r"no space left on device|disk quota exceeded",
        ("the host's disk is full", "error.pull_disk", "make room on the host"),
    ),
    (
        r"verification failed for digest|unexpected commit digest|digest (mismatch|invalid)"
        r"|digests? did not match|does not match (the )?(expected )?digest",
        (
            "what the registry sent has another digest",
            "error.pull_digest",
            "try again, and if it happens again, don't use this registry until you know why",
        ),
    ),
    (
        r"toomanyrequests|too many requests|\b429\b|pull rate limit",
        (
            "the registry has had too many requests from this host",
            "error.pull_limit",
            "wait an hour, or set registry_login",
        ),
    ),
    (
        r"no matching manifest for|does not match the specified platform|no match for platform",
        (
            "the image is not made for the host's processor",
            "error.pull_platform",
            "choose another image, or another server type",
        ),
    ),
    (
        r"repository does not exist or may require",
        (
            "the registry has no such image, or asks for a login",
            "error.pull_denied",
            "check the image's name in the settings, or set registry_login",
        ),
    ),
    (
        r"unauthorized|no basic auth credentials|authentication required|access denied|denied:"
        r"|\b40[13] (unauthorized|forbidden)|authorization failed|login attempt to",
        (
            "the registry asks for a login",
            "error.pull_login",
            "set registry_login, or correct its user and password",
        ),
    ),
    (
        r"manifest unknown|name unknown|\b404\b|not found",
        (
            "the registry has no such image",
            "error.pull_missing",
            "check the version, and the digest if you set one, in the settings",
        ),
    ),
    (
        r"x509|certificate|server gave HTTP response to HTTPS client",
        (
            "the registry's certificate is not trusted by the host",
            "error.pull_certificate",
            "give the host the registry's authority, in /etc/docker/certs.d",
        ),
    ),
    (
        r"\b5\d\d (internal|bad|service|gateway)|unexpected (http )?status.*\b5\d\d\b"
        r"|unknown: unknown error|internal server error",
        ("the registry failed", "error.pull_server", "try again later"),
    ),
    (
        rf"{_TIMED_OUT}|timeout|timed out|deadline exceeded|request canceled|connection refused"
        r"|connection reset|no such host|name resolution|server misbehaving|no route to host"
        r"|network is unreachable|\bEOF\b",
        (
            "the registry does not answer the host",
            "error.pull_unreachable",
            "check the host's route to the registry, or name an archive that holds the image in "
            "'image_archives'",
        ),
    ),
)
_UNKNOWN = (
    "Docker refused it",
    "error.pull",
    "check the version in the settings and the host's route to the registry, or name an archive "
    "that holds the image in 'image_archives'",
)


def explain_failure(image: str, output: str) -> UserError:
    """Return the error for a failed pull, by the `output` of Docker on standard error."""
    words = " ".join(output.split()).removeprefix("Error response from daemon: ")
    if len(words) > _MOST_CHARACTERS:
        # The cause is at the end.
        words = f"…{words[-_MOST_CHARACTERS:]}"
    known = (failure for pattern, failure in _FAILURES if re.search(pattern, output, re.IGNORECASE))
    reason, code, remedy = next(known, _UNKNOWN)
    return UserError(
        f"could not pull {image}: {reason} ({words}); nothing was stopped: {remedy}", code=code
    )


def pull(image: str, logins: Sequence[RegistryLogin] = ()) -> None:
    """Pull an image on the current host. Raises UserError with the reason, and a code for it.

    With a login, Docker reads the password from standard input. It keeps the password in memory, in
    a directory that only root can read and that is removed after the pull.
    """
    logger.info(f"{host.print_prefix}Pulling {image}")
    login = choose_login(logins, parse_reference(image).registry)
    password = read_password(login) if login else None
    doing = f"pull the image {image}"
    try:
        run(pull_command(image, login), doing=doing, stdin=password)
    except CommandFailed as error:
        output = str(error).removeprefix(f"could not {doing}: ")
        raise explain_failure(image, output) from None


def pull_command(image: str, login: RegistryLogin | None = None) -> str:
    """Return the command of the shell that pulls an image; with a login, it reads the password."""
    if not login:
        return _limit(f"docker pull --quiet {shlex.quote(image)}")
    user, registry = shlex.quote(login.user), shlex.quote(login.registry)
    docker = 'docker --config "$dir"'
    return (
        "umask 077; dir=$(mktemp -d /run/infisical-iac-registry.XXXXXXXX) || exit; "
        """trap 'rm -rf "$dir"' EXIT; trap 'exit 1' HUP INT TERM; """
        # `docker login` prints a warning even if it succeeds.
        f"said=$({docker} login --username {user} --password-stdin {registry} 2>&1) || "
        """{ echo "$said" >&2; exit 1; }; """
        + _limit(f"{docker} pull --quiet {shlex.quote(image)}")
    )


def _limit(command: str) -> str:
    return (
        f"timeout {_LIMIT} {command} || {{ status=$?; "
        f"test $status -ne 124 || echo {shlex.quote(_TIMED_OUT)} >&2; exit $status; }}"
    )
