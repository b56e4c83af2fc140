"""A rotation: a new client secret, proven and delivered before the old one is revoked.

Whatever it dies in, something that works is in the file and wherever it was delivered, and the
next rotation completes what this one began.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from infisical_iac.api.client import Client
from infisical_iac.workspace import client_secrets
from infisical_iac.workspace.credential_file import Credential, Replaced, render
from infisical_iac.workspace.credential_store import Store
from infisical_iac.workspace.credentials import Step


@dataclass(frozen=True)
class Rotation:
    """Hold what a rotation works with.

    Attributes:
        client: with the token of the deployer.
        store: where the file is.
        deliver: delivers a credential to where the service's go, the file aside, and sees that
            it is there.
        overlap: how long the old client secret goes on working after that.
        tell: called with each change once it is made.
    """

    client: Client
    store: Store
    deliver: Callable[[Credential], None]
    overlap: timedelta
    tell: Callable[[str], None]

    def run(self, step: Step) -> None:
        """Rotate, or complete a rotation that was begun; raises a UserError."""
        held = step.held
        if held is None or not held.is_undelivered:
            held = self._renew(step)
        if step.orphans:
            client_secrets.revoke_orphans(self.client, step)
            self.tell(str(step.revocation))
        self.deliver(held)
        self.end(step, held)

    def _renew(self, step: Step) -> Credential:
        """A new client secret that logs in and is in the file."""
        # Those that an earlier rotation spared live until this one's overlap ends.
        old = (step.held.secret_id,) if step.held else ()
        made = client_secrets.create(self.client, replace(step, spared=(*old, *step.spared)))
        client_secrets.prove(self.client, made)
        self.store.write(step.account.credentials, render(made))
        self.tell(f"+ credentials {step.account.credentials}")
        return made

    def end(self, step: Step, held: Credential) -> None:
        """Let the old client secrets end, now that the new one is delivered."""
        if held.replaced is None:
            return
        name = step.account.credentials
        if self.overlap:
            until = (datetime.now(UTC) + self.overlap).replace(microsecond=0)
            kept = Replaced(held.replaced.ids, until)
            self.store.write(name, render(replace(held, replaced=kept)))
            self.tell(
                f"~ client secrets of {name} that were replaced: work until "
                f"{until:%Y-%m-%d %H:%M} UTC, by when the service must have been started anew"
            )
            return
        if step.holder is not None:
            client_secrets.revoke(self.client, step.holder, held.replaced.ids)
        self.store.write(name, render(held.settled))
        self.tell(f"- client secrets of {name} that were replaced: {len(held.replaced.ids)}")
