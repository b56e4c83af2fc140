"""What should be at Hetzner Cloud of a server, by the settings and the files that they name."""

import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infisical_iac.firewall.rules import Opening, openings
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.settings import Settings, load

_KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")


@dataclass(frozen=True)
class PublicKey:
    """A key that lets in: `text` is its line without the comment, empty for one known by name."""

    name: str
    text: str = ""


@dataclass(frozen=True)
class Wanted:
    """What should be there of one server, and of what it shares with others.

    Attributes:
        name: of the server; what belongs to it alone is named after it.
        family: what is named after it is shared; the server's own name where it is the only one.
        role: "manager" or "worker" in a cluster, empty for a server on its own.
        private: its address in the cluster's private network, empty for a server on its own.
        volume_gb: 0 for no volume.
        host_name: what people reach it by, empty where site_url has no name.
        record: the name of its records in `zone`, `@` for the zone itself.
        openings: what the firewall lets in; none for no firewall.
        ssh_port: where sshd will be.
    """

    name: str
    family: str
    type: str
    location: str
    image: str
    keys: tuple[PublicKey, ...]
    volume_gb: int
    ipv4: bool
    ipv6: bool
    backups: bool
    group: str
    zone: str
    host_name: str
    record: str
    openings: tuple[Opening, ...]
    ssh_port: int
    role: str = ""
    private: str = ""

    @property
    def versions(self) -> tuple[str, ...]:
        """The kinds of addresses, `ipv4` first."""
        return (*(["ipv4"] if self.ipv4 else []), *(["ipv6"] if self.ipv6 else []))


def wanted(settings: Settings, *, ssh_port: int = 22) -> Wanted:
    """What the settings want of a server on its own.

    Raises HetznerError for keys that can't be read or a wrong zone.
    """
    host_name = _host_name(settings.site_url)
    return Wanted(
        name=settings.server_name,
        family=settings.server_name,
        type=settings.server_type,
        location=settings.server_location,
        image=settings.server_image,
        keys=tuple(map(_key, settings.server_ssh_keys)),
        volume_gb=settings.server_volume_gb,
        ipv4=settings.server_ipv4,
        ipv6=settings.server_ipv6,
        backups=settings.server_backups,
        group=settings.server_placement_group,
        zone=settings.server_dns_zone,
        host_name=host_name,
        record=_record(host_name, settings.server_dns_zone),
        openings=() if settings.firewall == "off" else openings(settings, ssh_port),
        ssh_port=ssh_port,
    )


def read_settings(directory: Path) -> Settings:
    """The settings of the production host, as `group_data/` in a clone of the project has them.

    Raises HetznerError where there are none, SettingsError for wrong ones.
    """
    if not (directory / "all.py").is_file():
        raise HetznerError("this is not the directory of this project: change to it")
    return load({**_data(directory / "all.py"), **_data(directory / "hetzner.py")})


def _data(file: Path) -> Mapping[str, Any]:
    if not file.exists():
        return {}
    try:
        found = runpy.run_path(str(file))
    except Exception as error:  # it is a program, which may fail in any way
        raise HetznerError(f"{file} can't be read: {error}") from None
    public = found.get("__all__", [name for name in found if not name.startswith("_")])
    return {name: found[name] for name in public}


def _key(given: str) -> PublicKey:
    if not given.endswith(".pub"):
        return PublicKey(given)
    path = Path(given).expanduser()
    try:
        kind, text, *_ = path.read_text("ascii").split()
    except (OSError, ValueError):
        kind = text = ""
    if kind not in _KINDS:
        raise HetznerError(
            f"setting 'server_ssh_keys': {given} is no public key of SSH that can be read: write "
            "the path of one, such as ~/.ssh/id_ed25519.pub"
        )
    return PublicKey(path.stem, f"{kind} {text}")


def _host_name(site_url: str) -> str:
    name = urlsplit(site_url).hostname or ""
    is_name = "." in name and not name.rpartition(".")[2].isdigit()
    return name if is_name else ""


def _record(host_name: str, zone: str) -> str:
    if not zone:
        return ""
    if host_name == zone:
        return "@"
    if not host_name.endswith(f".{zone}"):
        raise HetznerError(
            f"setting 'server_dns_zone': {host_name or 'site_url'} is no name in {zone}: set "
            f"site_url to one, such as https://secrets.{zone}, or leave the zone out"
        )
    return host_name.removesuffix(f".{zone}")
