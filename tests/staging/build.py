"""Build images once, and again when their recipe changes.

The recipe's hash is kept in a label of the image, so an up-to-date image costs nothing.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from infisical_iac.stack.settings import with_digest
from tests.staging import engine, sources
from tests.staging.shell import StagingError, docker, report_duration, run, say

RECIPES = Path(__file__).resolve().parents[1] / "images"
RECIPE_LABEL = "infisical-iac.recipe"
RELEASES = {"trixie": "13", "bookworm": "12"}
_REGISTRY_SECONDS = 20


def digest(directory: Path, *more: str, without: Sequence[str] = ("__pycache__",)) -> str:
    """Return the hash of a directory's files, by name and content, and of more texts.

    `without` are names of files and directories to leave out.
    """
    total = hashlib.sha256(repr(more).encode())
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        if set(without).isdisjoint(file.parts):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{file.relative_to(directory)} {content}\n".encode())
    return total.hexdigest()


def image_id(tag: str) -> str:
    """Return the id of a local image, or an empty text."""
    return docker("image", "inspect", "--format", "{{.Id}}", tag, check=False)


def recipe_of(tag: str) -> str | None:
    """Return the recipe's hash in an image's label, empty without one; None without the image."""
    template = f'={{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
    label = docker("image", "inspect", "--format", template, tag, check=False)
    return label.removeprefix("=").replace("<no value>", "") if label else None


def build(tag: str, context: Path, recipe: str, base: str) -> None:
    """Build `context` on the image `base`, tag it, and remove the image that it replaces."""
    old = image_id(tag)
    # The classic builder is enough: it is always installed and leaves no cache.
    with report_duration(f"Built {tag}"):
        run(
            *("docker", "build", "--force-rm", "--tag", tag, "--build-arg", f"BASE={base}"),
            *("--label", f"{RECIPE_LABEL}={recipe}", str(context)),
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            timeout=1200,
        )
    if old and old != image_id(tag):
        docker("image", "rm", old, check=False)


def adopt(official: str, tag: str) -> bool:
    """Pull an official image and tag it; return False if no registry answers.

    If the image's digest is known, Docker accepts no other bytes.
    """
    official = with_digest(official)
    present = image_id(official)
    if not present and not (registry_answers() and _pull(official)):
        return False
    docker("tag", official, tag)
    if not present:
        docker("image", "rm", official, check=False)
    return True


def remove_images() -> bool:
    """Remove every image that was built or tagged here, and return True.

    Other clones share the images, so none is removed while a container is left; return False then.
    """
    if left := docker("ps", "--all", "--format", "{{.Names}}").split():
        say(f"Docker's images stay, because there are other containers: {', '.join(left)}")
        return False
    for family in ("staging/*", "infisical-iac/*"):
        tags = docker("images", "--format", "{{.Repository}}:{{.Tag}}", family).split()
        if tags:
            docker("rmi", "--force", *tags)
    outdated = docker("images", "--quiet", "--filter", f"label={RECIPE_LABEL}").split()
    if outdated:
        docker("rmi", "--force", *dict.fromkeys(outdated))
    return True


def _pull(reference: str) -> bool:
    say(f"Pulling {reference}")
    done = run("docker", "pull", reference, check=False, timeout=1200)
    if done.returncode:
        say(f"{reference} can't be pulled: {done.stderr.strip()}")
    return done.returncode == 0


@cache
def registry_answers() -> bool:
    """Return whether Docker Hub or a mirror of it answers; only the first call sends a request."""
    say(f"Asking whether an image registry answers (at most {_REGISTRY_SECONDS} s)")
    try:
        asked = run(
            "docker", "manifest", "inspect", "debian:13", check=False, timeout=_REGISTRY_SECONDS
        )
    except StagingError:
        return False
    return asked.returncode == 0


def base(release: str) -> str:
    """Return the tag of the plain Debian image that all others start from; make it if missing.

    It is the official image if a registry answers, else one that `mmdebstrap` makes from this
    machine's archives. Raises StagingError if both fail.
    """
    tag = f"infisical-iac/debian:{release}"
    if image_id(tag):
        return tag
    official = f"debian:{RELEASES[release]}"
    if adopt(official, tag):
        return tag
    say(f"No registry answers: bootstrapping Debian {RELEASES[release]} from its packages")
    try:
        engine.install({"mmdebstrap": "mmdebstrap"})
    except StagingError as error:
        raise StagingError(
            f"{official} can't be pulled, and Debian's packages can't take its place: {error}"
        ) from None
    with report_duration(f"Bootstrapped Debian {RELEASES[release]}"):
        _bootstrap(tag, release)
    return tag


def _bootstrap(tag: str, release: str) -> None:
    archives, options = sources.of_this_machine(release)
    with tempfile.TemporaryDirectory() as directory:
        root, apt = Path(directory, "root.tar"), Path(directory, "apt.conf")
        apt.write_text("".join(f"{option}\n" for option in options))
        # An archive behind TLS may need the CAs that this machine trusts.
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        copy = f"--setup-hook=mkdir -p $1/etc/ssl/certs; cp {bundle} $1/etc/ssl/certs"
        trust = [copy] if any(line.startswith("deb https:") for line in archives) else []
        run(
            *(
                "mmdebstrap",
                "--variant=minbase",
                f"--aptopt={apt}",
                *trust,
                release,
                str(root),
                "-",
            ),
            input="\n".join(archives),
            timeout=1200,
        )
        docker("import", str(root), tag)
