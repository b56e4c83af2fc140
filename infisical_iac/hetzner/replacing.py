"""The replacement of a server, stage by stage, and the way back."""

from collections.abc import Callable

from hcloud.servers import BoundServer

from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.moving import PROVEN, Doing, Replacement, look
from infisical_iac.hetzner.plan import Everything, begun
from infisical_iac.hetzner.replacement import TITLES, back, stage
from infisical_iac.hetzner.stages import BACK, FORTH, drop_temporary, end_undo

_MOST_STAGES = 40

Tell = Callable[[str], None]


def replace(hands: Doing, tell: Tell, *, timeout: float) -> Everything:
    """Go on to the end, from wherever it is. Raises HetznerError with what to do."""
    for _ in range(_MOST_STAGES):
        now = look(timeout=timeout)
        if now.new is None and now.old and PROVEN.items() <= (now.old.labels or {}).items():
            break
        next_one = stage(now.place())
        with told(TITLES[next_one]):
            FORTH[next_one](now, hands)
        tell(TITLES[next_one])
    assert now.old is not None
    with told("end the replacement"):
        now.old.update(labels=_without_proof(now.old))
    return begun()


def _without_proof(server: BoundServer) -> dict[str, str]:
    return {name: text for name, text in (server.labels or {}).items() if name not in PROVEN}


def pointless(now: Replacement) -> bool:
    """Whether no replacement is under way and none would change anything."""
    old, want = now.old, now.session.want
    if now.new or not old or PROVEN.items() <= (old.labels or {}).items():
        return False
    there = (old.server_type and old.server_type.name, old.image and old.image.name)
    return there in ((want.type, want.image), (want.type, None))


def undo(hands: Doing, tell: Tell, *, timeout: float) -> None:
    """Give volume and addresses back to the old server, and delete the new one."""
    for _ in range(_MOST_STAGES):
        now = look(timeout=timeout)
        if now.new is None and now.temporary_addresses:
            with told("go back"):
                drop_temporary(now)
            tell("the new server was not made yet, its addresses are deleted")
            return
        next_one = back(now.place())
        with told("go back"):
            if next_one == "apply":
                end_undo(now, hands)
                tell("the old server does the work again, the new one is deleted")
                return
            BACK[next_one](now, hands)
        tell(f"undo: {next_one}")
