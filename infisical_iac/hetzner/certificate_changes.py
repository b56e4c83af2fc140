"""What differs of the certificate that a Load Balancer ends https with."""

from hcloud.certificates import BoundCertificate

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.fleet import Fleet, certificate_name
from infisical_iac.hetzner.ownership import is_own, labels
from infisical_iac.hetzner.resource import Common


def certificate(want: Fleet, common: Common) -> Changes:
    """The certificate, issued and renewed by Hetzner."""
    name = certificate_name(want)
    if not name:
        return
    there = common.certificates.get(name)
    if there is None:
        yield change("+", f"certificate {name}", "", lambda: _issue(want, common))
    elif there.status and there.status.issuance == "failed":
        said = there.status.error.message if there.status.error else "no reason is told"
        detail = f"issuing it failed ({said}), tried again"
        yield change("~", f"certificate {name}", detail, lambda: ended(there.retry_issuance()))
    elif there.status and there.status.issuance == "pending":
        yield change("~", f"certificate {name}", "waited for", lambda: _wait(there))


def surplus(want: Fleet, common: Common) -> Changes:
    """Certificates for names that are not served any more."""
    name = certificate_name(want)
    for each, there in common.certificates.items():
        if each != name and want.network and is_own(there.labels, want.first.family):
            yield change("-", f"certificate {each}", "", lambda there=there: _delete(there))  # type: ignore[misc]


def _issue(want: Fleet, common: Common) -> None:
    assert want.balancer is not None
    name = certificate_name(want)
    made = common.client.certificates.create_managed(
        name, [want.balancer.host_name], labels=labels(want.first.family)
    )
    ended(made.action)
    common.certificates[name] = made.certificate


def _wait(there: BoundCertificate) -> None:
    ended(*there.get_actions(status=["running"]))


def _delete(there: BoundCertificate) -> None:
    there.delete()
