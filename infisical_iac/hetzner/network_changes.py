"""What differs of how the server is reached: addresses, names."""

from collections.abc import Sequence

from hcloud.locations import Location
from hcloud.zones import ZoneRecord

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.balancer import addresses as addresses_of
from infisical_iac.hetzner.balancer import is_serving
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.fleet import Fleet
from infisical_iac.hetzner.names import address_name, host_address
from infisical_iac.hetzner.ownership import labels
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.resource import RECORDS, Common, Have

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
                f"{address_name(want, version)} with the server off, or set server_{version} "
                "to False"
            )

        def make(version: str = version) -> None:
            made = have.client.primary_ips.create(
                type=version,
                name=address_name(want, version),
                location=Location(name=want.location),
                assignee_type="server",
                auto_delete=False,
                labels=labels(want.family),
            )
            ended(made.action)
            have.addresses[version] = made.primary_ip

        price = prices.address(version, want.location)
        yield change("+", f"primary IP {address_name(want, version)}", str(price), make)


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


def records(want: Fleet, common: Common, haves: Sequence[Have]) -> Changes:
    """The records in the zone: of the balancer if there is one, else of all servers.

    Those that are there go on leading where they do until the balancer finds a node well.
    """
    if common.zone is None:
        return
    one = want.first
    for version in want.versions:
        kind = RECORDS[version]
        values, there = _values(want, common, haves, version), common.records.get(kind)
        has = sorted(str(each.value) for each in (there.records or [])) if there else []
        if (values and values == has) or (there and is_awaited(want, common)):
            continue

        def make(version: str = version, kind: str = kind) -> None:
            wanted = [ZoneRecord(value=each) for each in _values(want, common, haves, version)]
            assert common.zone is not None
            if rrset := common.records.get(kind):
                ended(rrset.set_rrset_records(wanted))
                return
            made = common.zone.create_rrset(
                name=one.record,
                type=kind,  # type: ignore[arg-type]
                ttl=_TTL,
                labels=labels(one.family),
                records=wanted,
            )
            ended(made.action)

        what = f"record {one.record} {kind} in {one.zone}"
        yield change("~" if there else "+", what, ", ".join(values), make)


def _values(want: Fleet, common: Common, haves: Sequence[Have], version: str) -> list[str]:
    if want.balancer is not None:
        ip = addresses_of(common.balancer).get(version) if common.balancer else None
        return [ip] if ip else []
    found = (each.addresses.get(version) for each in haves)
    return sorted(host_address(each) for each in found if each)


def is_awaited(want: Fleet, common: Common) -> bool:
    """Whether records lead elsewhere, which they do until the balancer finds a node well."""
    if want.balancer is None or is_serving(common.balancer):
        return False
    there = {str(each.value) for set in common.records.values() for each in set.records or []}
    own = addresses_of(common.balancer).values() if common.balancer else ()
    return bool(there - {*own})
