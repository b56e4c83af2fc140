"""Whoever delivers credentials to a target."""

from collections.abc import Mapping
from typing import Protocol

from infisical_iac.delivery.dokploy import KEY, Dokploy
from infisical_iac.workspace.credential_file import Credential
from infisical_iac.workspace.delivery import RemoteFile
from infisical_iac.workspace.targets import DokployTarget, Target


class Courier(Protocol):
    """All methods raise DeliveryError.

    Attributes:
        deploys: whether `deploy` makes the service start anew.
    """

    deploys: bool

    def check(self) -> None:
        """Return if the way is free; nothing is changed."""

    def differs(self, credential: Credential) -> bool:
        """Return whether something else than the credential is there."""

    def deliver(self, credential: Credential) -> bool:
        """Deliver it if it differs, and read it back; whether it did."""

    def deploy(self) -> None:
        """Let the service start anew."""


def courier(target: Target, environ: Mapping[str, str]) -> Courier:
    """The one for a target. Raises DeliveryError if `environ` lacks what it needs."""
    if isinstance(target.place, DokployTarget):
        return Dokploy(target.place, environ.get(KEY, ""))
    return RemoteFile(target.place)
