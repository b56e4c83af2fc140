"""`infisical-iac server destroy`: the server taken away, its data only if that is said."""

from collections.abc import Sequence

import click

from infisical_iac.cli.items import console, echo, show
from infisical_iac.errors import UserError


class DestroyError(UserError):
    """The server's name was not typed."""


@click.command()
@click.option("--with-data", is_flag=True, help="Delete the volume with all data too.")
@click.option("--confirm", metavar="NAME", help="The server's name, so that it isn't asked for.")
def destroy(with_data: bool, confirm: str | None) -> None:
    """Delete the server with its addresses, firewall, keys and records, after its name was typed.

    The volume stays, protected as it is, and the next `server create` attaches it again; with
    --with-data its protection is lifted and it is deleted. Exit status: 0 when nothing is left to
    take away, 1 for an error, or for another name.
    """
    from infisical_iac.cli.server_showing import make_all
    from infisical_iac.hetzner import destroying
    from infisical_iac.hetzner import plan as session
    from infisical_iac.hetzner.volumes import of_deployment as volumes_of

    found = session.begun()
    changes = [*destroying.removals(found, with_data=with_data)]
    name, is_cluster = found.want.first.family, len(found.nodes) > 1
    many = is_cluster or bool(found.surplus)
    of_it = volumes_of(found.common.client, found.common.deployment)
    volumes = sorted((str(each.name) for each in of_it), key=lambda name: (len(name), name))
    kept = _kept(volumes)
    if not changes:
        echo(f"Nothing of {name} is at Hetzner Cloud{kept}.")
        return
    show([each.item for each in changes], (), console(stderr=True))
    kind = "cluster" if is_cluster else "deployment" if many else "server"
    what = f"all servers of the {kind}" if many else "the server"
    question = f"This deletes {what} {_data(volumes, with_data=with_data, many=many)}. "
    question += f"Type the {kind}'s name, {name}"
    typed = confirm or click.prompt(question, err=True, default="", show_default=False)
    if typed != name:
        raise DestroyError(f"{typed!r} is not the {kind}'s name, {name}: nothing was done")
    make_all(changes)
    destroying.forget(found)
    echo(f"The {kind} {name} is gone{'' if with_data else kept}.")


def _kept(volumes: Sequence[str]) -> str:
    if len(volumes) > 1:
        return f"; the volumes {', '.join(volumes)} with their data are kept"
    return f"; the volume {volumes[0]} with its data is kept" if volumes else ""


def _data(volumes: Sequence[str], *, with_data: bool, many: bool) -> str:
    if not volumes and many:
        return "and what is on their own disks, for they have no volumes"
    if not volumes:
        return "and what is on its own disk, for it has no volume"
    if with_data:
        return "with ALL THEIR DATA" if many else "with ALL ITS DATA"
    return "but not their volumes" if many else "but not its volume"
