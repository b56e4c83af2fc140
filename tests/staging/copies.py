"""Copy a deployed host, so that other hosts need no deploy of their own."""

import shutil

from tests.ports import free_port
from tests.staging import access
from tests.staging.host import StagingHost
from tests.staging.shell import docker


def freeze(host: StagingHost) -> None:
    """Shut the host down finally, so that others can be copied from it."""
    docker("stop", "--time", "60", host.container)
    docker("commit", host.container, _image(host))


def copy(frozen: StagingHost, host: StagingHost, *, with_images: bool = True) -> None:
    """Boot `host`, which must not exist, as a copy of `frozen`.

    The copy has its own name, but the SSH host keys and login keys of the frozen host.

    Args:
        with_images: whether its Docker has the images, containers and volumes of the frozen host.
    """
    known = access.read(frozen.directory)
    host.directory.mkdir(parents=True)
    for key in frozen.directory.glob("id_ed25519*"):
        shutil.copy2(key, host.directory)
    if with_images:
        _copy_volume(frozen, host)
    port = free_port()
    host.boot(_image(frozen), port)
    keys = host.run("cat /etc/ssh/ssh_host_*_key.pub").stdout
    address = host.place[1] if host.place else ""
    access.write(known._replace(name=host.name, port=port, address=address), host.directory, keys)
    host.wait()


def remove(frozen: StagingHost) -> None:
    """Remove a frozen host, also if freezing it failed."""
    frozen.down()
    docker("image", "rm", "--force", _image(frozen), check=False)


def _image(host: StagingHost) -> str:
    return f"infisical-iac/{host.container}:frozen"


def _copy_volume(frozen: StagingHost, host: StagingHost) -> None:
    volumes = ("--volume", f"{frozen.volume}:/from:ro", "--volume", f"{host.have_volume()}:/to")
    # Only a privileged user can make the marks of deleted files in an image's layer.
    docker(
        *("run", "--rm", "--privileged", *volumes, "--entrypoint", "cp", _image(frozen)),
        *("--archive", "/from/.", "/to"),
    )
