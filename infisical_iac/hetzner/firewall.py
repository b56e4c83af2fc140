"""The outer ring: the rules of the host's own firewall, as Hetzner Cloud's has them."""

from collections.abc import Iterable, Sequence
from typing import Any

from hcloud.firewalls import FirewallRule

from infisical_iac.firewall.rules import Opening


def rules(openings: Iterable[Opening]) -> list[FirewallRule]:
    """The rules that let in what the host's own firewall lets in."""
    return [
        FirewallRule(
            direction=FirewallRule.DIRECTION_IN,
            protocol=opening.protocol,
            port=port,
            source_ips=list(opening.networks),
            description=opening.description,
        )
        for opening in openings
        for port in (map(str, opening.ports) if opening.ports else (None,))
    ]


def differ(wanted: Sequence[FirewallRule], there: Sequence[FirewallRule]) -> bool:
    """Whether the rules let in something else; their order has no meaning."""
    return sorted(map(_form, wanted)) != sorted(map(_form, there))


def _form(rule: FirewallRule) -> tuple[Any, ...]:
    return (
        rule.direction,
        rule.protocol,
        str(rule.port or ""),
        sorted(rule.source_ips),
        sorted(rule.destination_ips),
    )
