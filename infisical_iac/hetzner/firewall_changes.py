"""What differs of the firewall, which is the host's own once more in front of it."""

from collections.abc import Callable, Sequence

from hcloud.firewalls import FirewallResource, FirewallRule

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.firewall import differ, rules
from infisical_iac.hetzner.ownership import labels
from infisical_iac.hetzner.resource import Common, Have

# Whether one can log in to the server at this moment, by a new connection.
Alive = Callable[[], bool]


def firewall(want: Wanted, common: Common, haves: Sequence[Have], alive: Alive) -> Changes:
    """The firewall, with the rules that are wanted, or none where the setting is off."""
    what, wanted = f"firewall {want.family}", rules(want.openings)
    wall = common.firewall
    if wall is None:
        if wanted:
            yield change("+", what, _opens(wanted), lambda: _make_wall(want, common))
    elif not wanted:
        yield change("-", what, "setting 'firewall' is off", lambda: remove_wall(common, haves))
    elif differ(wanted, there := wall.rules or []):

        def to(rules: list[FirewallRule]) -> None:
            ended(*wall.set_rules(rules))

        yield change(
            "~", what, _opens(wanted), lambda: _tried(lambda: to(wanted), lambda: to(there), alive)
        )


def _tried(make: Callable[[], None], undo: Callable[[], None], alive: Alive) -> None:
    """Make a change, and undo it if it ends that one can log in. Raises HetznerError then."""
    was_alive = alive()
    make()
    if was_alive and not alive():
        undo()
        raise HetznerError(
            "with these rules nobody could log in from here any more, so those of before are back: "
            "have your own network in the setting 'ssh_networks'"
        )


def _make_wall(want: Wanted, common: Common) -> None:
    made = common.client.firewalls.create(
        want.family,
        rules=rules(want.openings),
        labels=labels(want.family),  # type: ignore[arg-type]  # the library's annotation is wrong
    )
    ended(*(made.actions or []))
    common.firewall = made.firewall


def _opens(wanted: list[FirewallRule]) -> str:
    each = (f"{rule.protocol} {rule.port}" if rule.port else str(rule.protocol) for rule in wanted)
    return "lets in " + ", ".join(dict.fromkeys(each))


def guards(have: Have) -> bool:
    """Whether the firewall is applied to the server."""
    assert have.common.firewall is not None
    assert have.server is not None
    return any(
        each.server is not None and each.server.id == have.server.id
        for each in have.common.firewall.applied_to or []
    )


def apply_wall(have: Have, alive: Alive) -> None:
    """Apply the firewall to the server."""
    assert have.common.firewall is not None
    wall, on = have.common.firewall, [_on(have)]
    _tried(
        lambda: ended(*wall.apply_to_resources(on)),
        lambda: ended(*wall.remove_from_resources(on)),
        alive,
    )


def _on(have: Have) -> FirewallResource:
    return FirewallResource(type=FirewallResource.TYPE_SERVER, server=have.server)


def remove_wall(common: Common, haves: Sequence[Have]) -> None:
    """Take the firewall off the servers, and delete it; the API refuses if others have it too."""
    assert common.firewall is not None
    if on := [_on(each) for each in haves if each.server is not None and guards(each)]:
        ended(*common.firewall.remove_from_resources(on))
    common.firewall.delete()
    common.firewall = None
