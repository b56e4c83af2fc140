"""Delivering credentials to where services run."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from infisical_iac.delivery.courier import Courier, courier
from infisical_iac.workspace.credential_file import Credential
from infisical_iac.workspace.model import ServiceAccount


@dataclass(frozen=True)
class Delivery:
    """The way to where the credentials of one service in one environment go.

    Attributes:
        courier: None if they go nowhere beside their file.
        deploys: whether to let the service start anew with what it did not have before.
        tell: called with each change once it is made.
    """

    account: ServiceAccount
    courier: Courier | None
    deploys: bool
    tell: Callable[[str], None]

    def check(self) -> None:
        """Return if the way is free. Raises DeliveryError."""
        if self.courier:
            self.courier.check()

    def is_due(self, credential: Credential) -> bool:
        """Return whether something else is there. Raises DeliveryError."""
        return self.courier is not None and self.courier.differs(credential)

    def deliver(self, credential: Credential) -> None:
        """Deliver it if something else is there. Raises DeliveryError."""
        if self.courier is None:
            return
        is_new = self.courier.deliver(credential)
        if is_new:
            self.tell(f"~ {self.account.target}: credentials {self.account.credentials}")
        # A run that died in between may have delivered and not deployed.
        if self.deploys and self.courier.deploys and (is_new or credential.is_undelivered):
            self.courier.deploy()
            self.tell(f"~ {self.account.target}: is being deployed")


def delivery(account: ServiceAccount, *, deploys: bool, tell: Callable[[str], None]) -> Delivery:
    """The way for an account. Raises DeliveryError if the environment lacks what it takes."""
    way = courier(account.target, os.environ) if account.target else None
    return Delivery(account, way, deploys, tell)
