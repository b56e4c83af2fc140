"""Deliver a service's credentials: into a file on another host, or into Dokploy's variables."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import httpx

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.dotenv.reading import read
from infisical_iac.dotenv.text import Entry
from infisical_iac.workspace.credential_file import FIRST_WORDS, Credential, render, variables
from infisical_iac.workspace.targets import DokployTarget, FileTarget, Target

_SECONDS = 60
_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class RemoteFile:
    """The courier to a file that holds only the credentials, such as one for `env_file`.

    `ssh` checks host keys and finds keys and aliases as usual. All methods raise UserError.
    """

    deploys = False

    def __init__(self, target: FileTarget) -> None:
        self._target = target

    def check(self) -> None:
        """Raise UserError if the file can't be written or has other content."""
        self._inspect()

    def differs(self, credential: Credential) -> bool:
        """Return whether there is something to deliver."""
        text = render(credential.without_rotation)
        return self._inspect() != f"600 {sha256(text.encode()).hexdigest()}"

    def deliver(self, credential: Credential) -> bool:
        """Put the file in its place in one step, readable only by its user, and check it.

        Returns whether the file was out of date; an up-to-date file is not written.
        """
        if not self.differs(credential):
            return False
        path = shlex.quote(self._target.path)
        # A unique name, so that no other user can have prepared a link in a shared directory.
        self._run(
            f"new=$(mktemp {path}.XXXXXXXX) && trap 'rm -f \"$new\"' EXIT HUP INT TERM && "
            f'cat > "$new" && sync "$new" && mv -f "$new" {path} && sync "$(dirname {path})"',
            stdin=render(credential.without_rotation),
        )
        if self.differs(credential):
            raise UserError(f"{self._target} does not hold what was written: push again")
        return True

    def deploy(self) -> None:
        """Do nothing: the program that reads the file is unknown."""

    def _inspect(self) -> str:
        """Return the file's mode and hash; "" if there is none."""
        path = shlex.quote(self._target.path)
        parent = shlex.quote(self._target.path.rpartition("/")[0] or "/")
        own = shlex.quote(FIRST_WORDS)
        answer = self._run(
            f"test -w {parent} || {{ echo unwritable; exit; }}; test -e {path} || exit 0; "
            f"head -n 1 {path} | grep -q ^{own} || {{ echo foreign; exit; }}; "
            f'echo "$(stat -c %a {path}) $(sha256sum < {path} | cut -d" " -f1)"'
        ).strip()
        if answer == "unwritable":
            raise UserError(
                f"{self._target}: its directory is missing, or its user may not write to it: make "
                "it first"
            )
        if answer == "foreign":
            raise UserError(
                f"{self._target} holds something else: give the credentials a file of their own"
            )
        return answer

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
            raise UserError(
                f"{self._target} can't be reached by ssh ({reason}): check that `ssh {name}` works "
                "without a prompt"
            ) from None
        if ran.returncode != 0:
            why = " / ".join(ran.stderr.split("\n")[-3:]).strip(" /") or "no reason given"
            raise UserError(
                f"{self._target} can't be written ({why}): check that `ssh {name}` works without a "
                "prompt"
            )
        return ran.stdout


# The grammar that Dokploy reads the text with.
_GRAMMAR = "dotenv"
_LINE_END = re.compile(r"(\r\n?|\n)")


def with_variables(text: str, desired: Mapping[str, str]) -> str:
    """Return the text with some variables set, and everything else as it was.

    Each variable is set in a line of its own, single-quoted, at its present place or at the end. A
    variable that has its value already is left as it is written, so an up-to-date text is returned
    unchanged.

    Args:
        desired: values without single quotes and line ends.

    Raises FileError if another variable would then be read differently.
    """
    there = {entry.key: entry for entry in _entries(text) if entry.key in desired}
    due = {
        key: value
        for key, value in desired.items()
        if key not in there or there[key].value != value
    }
    lines = _LINE_END.split(text)  # each followed by its line end
    found = [there[key] for key in due if key in there]
    for entry in sorted(found, key=lambda each: each.first_line, reverse=True):
        lines[2 * entry.first_line - 2 : 2 * entry.last_line - 1] = [_line(entry.key, due)]
    made = "".join(lines)
    if made and not made.endswith(("\n", "\r")) and due.keys() - there.keys():
        made += "\n"
    made += "".join(f"{_line(key, due)}\n" for key in due if key not in there)
    if due and _values(made) != {**_values(text), **desired}:
        raise FileError(
            "its variables can't be set without changing others: look for an unfinished line, such "
            "as one with a quote that is not closed"
        )
    return made


def _line(key: str, values: Mapping[str, str]) -> str:
    return f"{key}='{values[key]}'"


def _entries(text: str) -> tuple[Entry, ...]:
    # JSON can hold characters that UTF-8 can't encode. No name and none of our values has one.
    return read(text.encode(errors="replace"), _GRAMMAR).entries


def _values(text: str) -> dict[str, str]:
    return {entry.key: entry.value for entry in _entries(text)}


KEY = "DOKPLOY_API_KEY"
_ANY = Credential("any", "any", "any", "any")
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class Dokploy:
    """The courier to an application or a compose service.

    Args:
        key: the key of Dokploy's API.

    All methods raise UserError, which never holds a value of the service's variables.
    """

    deploys = True

    def __init__(self, target: DokployTarget, key: str) -> None:
        if not key:
            raise UserError(f"{KEY} is not set: make a key in Dokploy's settings, and set it")
        self._target = target
        self._http = httpx.Client(
            base_url=f"{target.url}/api",
            headers={"x-api-key": key},
            timeout=_TIMEOUT,
            # Plain http is only allowed to this machine: a proxy would read the key.
            trust_env=target.url.startswith("https://"),
        )

    def check(self) -> None:
        """Raise UserError unless the service exists, may be read, and can take the variables."""
        self._desired_text(self._read(), _ANY)

    def differs(self, credential: Credential) -> bool:
        """Return whether there is something to deliver."""
        found = self._read()
        return not self._has(found, self._desired_text(found, credential))

    def deliver(self, credential: Credential) -> bool:
        """Set the variables of a credential, keep all others, and check the result.

        Returns whether they were out of date; up-to-date variables are not saved.
        """
        found = self._read()
        text = self._desired_text(found, credential)
        if self._has(found, text):
            return False
        body: dict[str, Any] = {self._id_key: self._target.id, "env": text}
        if self._target.application:
            # Dokploy requires all fields. With `createEnvFile`, it would copy a file with the
            # variables into the built image.
            body |= {"buildArgs": found["buildArgs"] or "", "createEnvFile": False}
            body |= {"buildSecrets": found["buildSecrets"] or ""}
        self._send("POST", "saveEnvironment", json=body)
        if not self._has(self._read(), text):
            raise UserError(
                f"{self._target} did not keep what was saved: push again", code="error.not_saved"
            )
        return True

    def deploy(self) -> None:
        """Start a deploy of the service in Dokploy, without waiting for its end."""
        self._send("POST", "deploy", json={self._id_key: self._target.id})

    @property
    def _id_key(self) -> str:
        return f"{self._target.kind}Id"

    def _read(self) -> dict[str, Any]:
        """Return Dokploy's data of the service, with its variables as text."""
        answer = self._send("GET", "one", params={self._id_key: self._target.id})
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "env" not in found:
            raise UserError(
                f"{self._target} does not show its variables: check the address, and that the "
                f"owner of {KEY} may read and write them",
                code="error.hidden_variables",
            )
        if self._target.compose and found.get("createEnvFile") is False:
            raise UserError(
                f"{self._target} has its environment file turned off, so no variable reaches its "
                "containers: turn it on in Dokploy"
            )
        rest = {"buildArgs": found.get("buildArgs"), "buildSecrets": found.get("buildSecrets")}
        return {"createEnvFile": None, **found, **rest, "env": found["env"] or ""}

    def _desired_text(self, found: dict[str, Any], credential: Credential) -> str:
        desired = variables(credential)
        # For an application, INFISICAL_ENVIRONMENT wins over NODE_ENV. A compose file may not pass
        # it on yet, so it keeps NODE_ENV.
        if self._target.application and _values(found["env"]).get("NODE_ENV") == "production":
            del desired["NODE_ENV"]
        try:
            return with_variables(found["env"], desired)
        except FileError as error:
            raise UserError(f"{self._target}: {error}") from None

    def _has(self, found: dict[str, Any], text: str) -> bool:
        """Return whether Dokploy has the text, and does not copy it into an image."""
        leaks = self._target.application and found["createEnvFile"]
        return found["env"] == text and not leaks

    def _send(self, method: str, action: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, f"/{self._target.kind}.{action}", **request)
        except httpx.HTTPError as error:
            raise UserError(
                f"Dokploy at {self._target.url} does not answer ({type(error).__name__}): check "
                "its address in the project file, and that it runs"
            ) from None
        if not answer.is_success:
            raise self._refusal(answer.status_code, action)
        return answer

    def _refusal(self, status: int, action: str) -> UserError:
        at = f"Dokploy at {self._target.url}"
        if status == 401:
            return UserError(
                f"{at} refuses the key in {KEY}: make a new one in its settings, and set it",
                code="error.dokploy_key",
            )
        if status == 403:
            return UserError(
                f"{at} does not let the owner of the key in {KEY} do that: give the permission",
                code="error.dokploy_permission",
            )
        if status == 404:
            return UserError(
                f"{at} has no {self._target.kind} {self._target.id}: copy its id from the end of "
                "its address in Dokploy into `deliver` in the project file",
                code="error.dokploy_service",
            )
        if 300 <= status < 400:
            return UserError(
                f"{at} redirects ({status}): write the address that it redirects to",
                code="error.dokploy_redirect",
            )
        return UserError(
            f"{at} answered {status} to {self._target.kind}.{action}: read Dokploy's log"
        )


Courier = Dokploy | RemoteFile


def courier(target: Target, environ: Mapping[str, str]) -> Courier:
    """Return the courier for a target. Raises UserError if `environ` lacks its key."""
    if isinstance(target.place, DokployTarget):
        return Dokploy(target.place, environ.get(KEY, ""))
    return RemoteFile(target.place)
