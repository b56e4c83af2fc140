"""Credentials into a file on another host, through `ssh` as it is set up on this machine."""

import shlex
import subprocess
from hashlib import sha256

from infisical_iac.delivery.failures import DeliveryError
from infisical_iac.workspace.credential_file import FIRST_WORDS, Credential, render
from infisical_iac.workspace.targets import FileTarget

_SECONDS = 60
_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class RemoteFile:
    """The courier to a file that holds the credentials alone, such as one for `env_file`.

    Host keys are checked, and keys and aliases found, as `ssh` does. All methods raise
    DeliveryError.
    """

    deploys = False

    def __init__(self, target: FileTarget) -> None:
        self._target = target

    def check(self) -> None:
        """Return if the file could be written, and is no file of somebody else's."""
        self._look()

    def differs(self, credential: Credential) -> bool:
        """Return whether there is something to deliver."""
        text = render(credential.settled)
        return self._look() != f"600 {sha256(text.encode()).hexdigest()}"

    def deliver(self, credential: Credential) -> bool:
        """Put the file in its place in one step, for its user alone, and see that it is there.

        Does nothing if it is there already; returns whether it was not.
        """
        if not self.differs(credential):
            return False
        path = shlex.quote(self._target.path)
        # A name of its own: in a directory that others write to, no link can have taken it.
        self._run(
            f"new=$(mktemp {path}.XXXXXXXX) && trap 'rm -f \"$new\"' EXIT HUP INT TERM && "
            f'cat > "$new" && sync "$new" && mv -f "$new" {path} && sync "$(dirname {path})"',
            stdin=render(credential.settled),
        )
        if self.differs(credential):
            raise DeliveryError(f"{self._target} is not what was written: push again")
        return True

    def deploy(self) -> None:
        """Do nothing: who reads the file is not known."""

    def _look(self) -> str:
        """The file's mode and hash; "" if there is none."""
        path = shlex.quote(self._target.path)
        parent = shlex.quote(self._target.path.rpartition("/")[0] or "/")
        own = shlex.quote(FIRST_WORDS)
        told = self._run(
            f"test -w {parent} || {{ echo unwritable; exit; }}; test -e {path} || exit 0; "
            f"head -n 1 {path} | grep -q ^{own} || {{ echo foreign; exit; }}; "
            f'echo "$(stat -c %a {path}) $(sha256sum < {path} | cut -d" " -f1)"'
        ).strip()
        if told == "unwritable":
            raise DeliveryError(
                f"{self._target}: its directory is not there, or its user may not write to it; "
                "make it first"
            )
        if told == "foreign":
            raise DeliveryError(
                f"{self._target} holds something else: give the credentials a file of their own"
            )
        return told

    def _run(self, command: str, stdin: str = "") -> str:
        name, _, port = self._target.host.partition(":")
        at = ["-p", port] if port else []
        try:
            ran = subprocess.run(
                ["ssh", *_OPTIONS, *at, "--", name, command],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            raise DeliveryError(f"{self._target} can't be reached: ssh: {reason}") from None
        if ran.returncode != 0:
            why = " / ".join(ran.stderr.split("\n")[-3:]).strip(" /") or "no reason given"
            raise DeliveryError(
                f"{self._target} can't be written: {why}: see that `ssh {name}` works without a "
                "question"
            )
        return ran.stdout
