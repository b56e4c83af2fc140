"""Find the production host, or the hosts of a cluster: by name, or at Hetzner Cloud.

The environment wins over the group data. If neither names a host, the servers at Hetzner Cloud are
used.
"""

import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infisical_iac.core.bundle import default_settings
from infisical_iac.core.connection import HOST_REFUSES, prepare_connections
from infisical_iac.core.errors import UserError
from infisical_iac.core.host_keys import name_in_known_hosts, read_lines
from infisical_iac.core.own_repository import KNOWN_HOSTS

# The variables of the environment for the connection, by their names in pyinfra's data.
_VARIABLES = {
    "ssh_hostname": "INFISICAL_HOST",
    "ssh_user": "INFISICAL_SSH_USER",
    "ssh_port": "INFISICAL_SSH_PORT",
    "ssh_key": "INFISICAL_SSH_KEY",
    "data_volume": "INFISICAL_DATA_VOLUME",
}


def production_host(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the production host with its data, for a pyinfra inventory.

    Args:
        file: the group data that may name the host by `ssh_hostname`, and `ssh_user`, `ssh_port`
            and `ssh_key`; the environment's variables win over each of them.

    If neither names a host, it is the server that `infisical-iac server` made for this deployment,
    found with the token in HCLOUD_TOKEN; the host then has the server's name. Exits the program
    with a sentence if no host is named or its data can't be read.
    """
    prepare_connections()
    name, data = "", read_connection(file)
    if not data.get("ssh_hostname") and os.environ.get("HCLOUD_TOKEN"):
        ((name, found),) = _find_hosts(file, is_cluster=False)
        data = found | data
    if not data.get("ssh_hostname"):
        sys.exit(
            "INFISICAL_HOST is not set: set it to the server's name or address, set HCLOUD_TOKEN "
            "to find a server that `infisical-iac server create` made, or run `infisical-iac init`"
        )
    _create_known_hosts()
    return (name or data["ssh_hostname"], _complete_connection(data, file))


def production_hosts(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the production host, or all hosts of a cluster, with their data for pyinfra.

    Args:
        file: as for `production_host`; with `topology = "swarm"` there, INFISICAL_HOSTS or its
            `hosts` name the hosts, the variable first. If neither does, they are the servers that
            `infisical-iac server` made.

    The hosts are in the order of their names there, or managers first for servers at Hetzner
    Cloud. Exits the program as `production_host` does.
    """
    settings = _group_data(file)
    if settings.get("topology") != "swarm":
        return [production_host(file)]
    prepare_connections()
    # The host name is for a single host; all other data are defaults for each host.
    data = {key: value for key, value in read_connection(file).items() if key != "ssh_hostname"}
    if os.environ.get("INFISICAL_HOST", "").strip():
        sys.exit(
            f'INFISICAL_HOST is set while topology is "swarm" in {file.name}: name all hosts in '
            "INFISICAL_HOSTS, or unset it"
        )
    hosts = _list_named_hosts(settings, file)
    if not hosts and os.environ.get("HCLOUD_TOKEN"):
        hosts = _find_hosts(file, is_cluster=True)
    if not hosts:
        sys.exit(
            "INFISICAL_HOSTS is not set: set it to the hosts' addresses, with commas in between, "
            f"name them by hosts in {file.name}, or set HCLOUD_TOKEN to find servers that "
            "`infisical-iac server create` made"
        )
    _create_known_hosts()
    return [(name, _complete_connection(data | own, file)) for name, own in hosts]


def _list_named_hosts(settings: Mapping[str, Any], file: Path) -> list[tuple[str, dict[str, Any]]]:
    variable = [each.strip() for each in os.environ.get("INFISICAL_HOSTS", "").split(",")]
    if named := [each for each in variable if each]:
        return [(each, {"ssh_hostname": each}) for each in dict.fromkeys(named)]
    from pydantic import TypeAdapter, ValidationError

    from infisical_iac.core.validation import explain
    from infisical_iac.hetzner.settings import NamedHost

    form = tuple[NamedHost, ...]
    try:
        hosts = TypeAdapter(form).validate_python(settings.get("hosts", ()))
    except ValidationError as error:
        what = error.errors()[0]
        name = ".".join(map(str, ("hosts", *what["loc"])))
        sys.exit(f"setting {name!r} in {file.name}: {explain(what, form)}")
    found = []
    for host in hosts:
        own = host.model_dump(exclude={"name", "address"}, exclude_defaults=True)
        found.append((host.name or host.address, {"ssh_hostname": host.address, **own}))
    return found


def _complete_connection(data: dict[str, Any], file: Path) -> dict[str, Any]:
    if key := data.get("ssh_key"):
        where = f"INFISICAL_SSH_KEY, or ssh_key in {file.name}"
        if not Path(key).expanduser().is_file():
            sys.exit(f"{where}: there is no file {key}; write the path of your private SSH key")
        if Path(key).suffix == ".pub":
            sys.exit(f"{where}: {key} is the public key; write the path of the private one")
    user = data.setdefault("ssh_user", "root")
    data = _connector_defaults(file) | data
    verified = _known_host_options(
        file.parent.parent, data["ssh_hostname"], data.get("ssh_port", 22)
    )
    return {**data, **verified, "_sudo": user != "root"}


def _connector_defaults(file: Path) -> dict[str, Any]:
    """Return the defaults of pyinfra's SSH connector, unless a file of settings has others.

    pyinfra itself reads only the settings of a repository, which need not have these defaults.
    """
    own = {**_group_data(file.with_name("all.py")), **_group_data(file)}
    return {
        key: own.get(key, value)
        for key, value in default_settings().items()
        if key.startswith("ssh_connect_")
    }


def read_connection(file: Path) -> dict[str, Any]:
    """Return the data of the connection in `file` and in the environment, which wins.

    Exits the program with a sentence if the file can't be read or the port is not a number.
    """
    data = {key: value for key, value in _group_data(file).items() if key in _VARIABLES}
    variables = {key: os.environ.get(name, "").strip() for key, name in _VARIABLES.items()}
    data |= {key: value for key, value in variables.items() if value}
    if port := data.get("ssh_port"):
        if not str(port).isdigit():
            sys.exit(
                f"INFISICAL_SSH_PORT, or ssh_port in {file.name}, is {port!r}: "
                "set it to a number such as 22"
            )
        data["ssh_port"] = int(port)
    return data


def _find_hosts(file: Path, *, is_cluster: bool) -> list[tuple[str, dict[str, Any]]]:
    # Imported here, as the library takes a while to load and a named host does not need it.
    from infisical_iac.hetzner import inventory

    given = _group_data(file).get("server_name")
    shared = _group_data(file.with_name("all.py"))
    default = {**default_settings(), **shared}["server_name"]
    name = inventory.DeploymentName(str(given or default), bool(given))
    try:
        hosts = inventory.find_cluster(name) if is_cluster else [inventory.find_server(name)]
    except UserError as error:
        sys.exit(str(error))
    if sentence := hosts[0][1].get(HOST_REFUSES):
        print(f"Note: {sentence}; until then the server stays unchanged.", file=sys.stderr)
    return hosts


def _known_host_options(project: Path, address: str, port: int) -> dict[str, Any]:
    """Return SSH options that accept only the project's host key, if known_hosts has one."""
    kept, name = project / KNOWN_HOSTS, name_in_known_hosts(address, port)
    if not any(each.has(name) for each in read_lines([kept])):
        return {}
    return {"ssh_known_hosts_file": str(kept), "ssh_strict_host_key_checking": "yes"}


def _group_data(file: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(file))
    except FileNotFoundError:
        return {}
    except Exception as error:  # a program may raise any error
        sys.exit(f"{file} can't be read ({error}): correct it")


def _create_known_hosts() -> None:
    # pyinfra reads the hosts' keys there, and warns of a file that is missing.
    directory = Path.home() / ".ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "known_hosts").touch(mode=0o600)
