"""Replace the SSH host key that a server was created with by one that never left the host.

The first key was in the server's user data, which others can read.
"""

import os

from infisical_iac.agent.files import remove, sync, write
from infisical_iac.agent.runner import Failure, Runner, action

_OURS = "/etc/ssh/ssh_host_ed25519_key"
_MADE = "/etc/ssh/infisical_iac_next_host_key"
_MARK = "/etc/ssh/infisical_iac_host_key"


@action
def make(runner: Runner) -> str:
    """Make a key, which is not used yet, and return its public half.

    Once a key is in use, it is that one's. Raises RuntimeError with a Failure.
    """
    made = runner.path(_MADE)
    if (known := runner.text(f"{_MADE}.pub")) is not None:
        return known.strip()
    if runner.path(_MARK).exists():
        return (runner.text(f"{_OURS}.pub") or "").strip()
    made.unlink(missing_ok=True)
    runner.must_run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(made)])
    return (runner.text(f"{_MADE}.pub") or "").strip()


@action
def use(runner: Runner) -> None:
    """Have sshd use the made key only.

    Raises RuntimeError with a Failure, with nothing changed, if no key was made.
    """
    made, ours, mark = (runner.path(each) for each in (_MADE, _OURS, _MARK))
    public = runner.path(f"{_MADE}.pub")
    if not made.exists() and not mark.exists():
        raise RuntimeError(Failure("command", "no host key was made", "run again"))
    write(mark, b"")
    # The public half is moved last: while it is in the old place, `use` is not complete.
    if made.exists():
        os.replace(made, ours)
    # The next connection accepts only the new key, which must survive a power cut.
    sync(ours.parent)
    if public.exists():
        write(runner.path(f"{_OURS}.pub"), public.read_bytes(), mode=0o644)
        remove(public)
    # Established connections stay. A reload would return before sshd has read the key.
    runner.must_run(["systemctl", "try-restart", "ssh.service"])
