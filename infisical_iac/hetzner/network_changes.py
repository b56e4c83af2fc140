"""What differs of how the server is reached: addresses, names."""

from hcloud.locations import Location
from hcloud.zones import ZoneRecord

from infisical_iac.hetzner import have as names
from infisical_iac.hetzner.api import LABELS, ended
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.have import RECORDS, Have, host_address
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.wanted import Wanted

# Short, so that a new address is soon known everywhere.
_TTL = 300


def addresses(want: Wanted, have: Have, prices: Prices) -> Changes:
    """The primary IPs. Raises HetznerError for a server that is there without one."""
    for version in want.versions:
        if version in have.addresses:
            continue
        if have.server is not None:
            raise HetznerError(
                f"the server {want.name} is there without its primary {version}: make "
                f"{names.address_name(want, version)} with the server off, or set server_{version} "
                "to False"
            )

        def make(version: str = version) -> None:
            made = have.client.primary_ips.create(
                type=version,
                name=names.address_name(want, version),
                location=Location(name=want.location),
                assignee_type="server",
                auto_delete=False,
                labels=LABELS,
            )
            ended(made.action)
            have.addresses[version] = made.primary_ip

        price = prices.address(version, want.location)
        yield change("+", f"primary IP {names.address_name(want, version)}", str(price), make)


def reverse(want: Wanted, have: Have) -> Changes:
    """The names that the addresses lead back to."""
    for version in want.versions if want.host_name else ():
        there = have.addresses.get(version)
        if there and _points_to(there) == want.host_name:
            continue

        def make(version: str = version) -> None:
            address = have.addresses[version]
            ended(address.change_dns_ptr(host_address(address), want.host_name))

        yield change("~", f"reverse DNS of the {version} address", want.host_name, make)


def _points_to(address: object) -> str:
    ip = host_address(address)  # type: ignore[arg-type]
    entries = getattr(address, "dns_ptr", None) or []
    return next((each["dns_ptr"] for each in entries if each["ip"] == ip), "")


def records(want: Wanted, have: Have) -> Changes:
    """The records in the zone."""
    if have.zone is None:
        return
    for version in want.versions:
        kind, what = RECORDS[version], f"record {want.record} {RECORDS[version]} in {want.zone}"
        address, there = have.addresses.get(version), have.records.get(kind)
        values = [str(each.value) for each in (there.records or [])] if there else []
        if address and values == [host_address(address)]:
            continue

        def make(version: str = version, kind: str = kind) -> None:
            record = ZoneRecord(value=host_address(have.addresses[version]))
            assert have.zone is not None
            if rrset := have.records.get(kind):
                ended(rrset.set_rrset_records([record]))
                return
            made = have.zone.create_rrset(
                name=want.record,
                type=kind,  # type: ignore[arg-type]
                ttl=_TTL,
                labels=LABELS,
                records=[record],
            )
            ended(made.action)

        yield change("~" if there else "+", what, host_address(address) if address else "", make)
