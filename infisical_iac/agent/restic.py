"""Use the repositories of backup targets through restic.

Logins are only in restic's environment, where restic looks for them.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from infisical_iac.agent.files import hold, write
from infisical_iac.agent.keys import TARGET_LOGIN
from infisical_iac.agent.runner import Failure, Output, Runner, action

_CONFIGURATION = "/etc/infisical/backup"
_KEYS = "/etc/infisical/keys"
_PASSWORD = f"{_KEYS}/restic_password"
_KNOWN = "/var/lib/infisical-backup/repositories"
_CACHE = "/var/cache/infisical-backup"
_TAG = "infisical-iac"
# The seconds that a target may take to answer; backup.conf may set others.
_ANSWER_SECONDS = "60"
_KEY_SECONDS = 60
_SAVE_SECONDS = 4 * 3600
_READ_SECONDS = 2 * 3600
# restic needs a moment to remove its locks before it is killed.
_KILL_SECONDS = 20
_LOCK_SECONDS = 600
_TOO_LONG = 124
# The variables in the file of a target that restic itself does not read.
VARIABLES = ("REPOSITORY", "SSH", "APPEND_ONLY")


def read_variables(text: str, *names: str) -> dict[str, str]:
    """Return the named variables in lines NAME=value; other lines are ignored.

    A value may be in quotes, and is taken literally.
    """
    found = {}
    for line in text.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name in names:
            is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[name] = value[1:-1] if is_quoted else value
    return found


@dataclass(frozen=True)
class TargetRepository:
    """The repository of a target.

    Attributes:
        address: its address, without a login.
        environment: what restic reads from its environment, with the login.
        options: the options of each call.
        keep: the options of `restic forget` for the snapshots to keep.
        seconds: how long the target may take to answer.
        append_only: whether the host never removes snapshots.
    """

    runner: Runner
    address: str
    environment: Mapping[str, str] = field(repr=False)
    options: Sequence[str]
    keep: Sequence[str]
    seconds: str
    append_only: bool

    def run(self, *words: str, seconds: float | str, folder: str = "") -> Output:
        """Run restic for at most so many seconds, as it retries for ever if nobody answers.

        Args:
            folder: the folder to run it in.
        """
        call = ["timeout", "--kill-after", str(_KILL_SECONDS), str(seconds)]
        call += ["env", f"--chdir={folder}"] if folder else []
        longest = float(seconds) + 2 * _KILL_SECONDS
        command = [*call, "restic", *self.options, *words]
        return self.runner.run(command, seconds=longest, environment=self.environment)

    def ask(self, *words: str) -> Output:
        """Run restic for at most the seconds that the target may take to answer."""
        return self.run(*words, seconds=self.seconds)

    def explain_failure(self, done: Output, seconds: float | str | None = None) -> str:
        """Return the reason for a failed call, which had so many seconds, in one line."""
        if done.status == _TOO_LONG:
            refused = re.findall(r" returned error, retrying after [^:]*: (.*)", done.errors)
            last = f", last: {refused[-1]}" if refused else ""
            return f"no answer within {seconds or self.seconds} s{last}"
        lines = [*map(_read_message, done.errors.splitlines())]
        # restic prints this one before others that follow from it.
        first = (each for each in lines if each.startswith(("Fatal: ", "unable to create lock")))
        return next(first, lines[-1] if lines else "").removeprefix("Fatal: ")


def _read_message(line: str) -> str:
    """Return the message in a line of restic's errors, which is text or JSON, without details."""
    try:
        found = json.loads(line)
        line = str(found.get("message") or found["error"]["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return re.split(r"\\n|\n", line)[0]


def _refuse(done: Output | None, message: str, remedy: str = "") -> RuntimeError:
    """Return the error for a failed call, after the call's own errors went to the journal."""
    if done and done.errors:
        print(done.errors.rstrip("\n"), file=sys.stderr)
    return RuntimeError(Failure("command", message, remedy))


def open_target(runner: Runner, target: str) -> TargetRepository:
    """Return the repository of a target. Raises RuntimeError with a Failure for an unknown one."""
    own = runner.text(f"{_CONFIGURATION}/{target}.conf")
    of_all = runner.text(f"{_CONFIGURATION}/backup.conf")
    known = read_variables(own or "", *VARIABLES)
    if of_all is None or "REPOSITORY" not in known:
        raise _refuse(
            None,
            f"{_CONFIGURATION} lacks backup.conf, or the address of {target} in {target}.conf",
            "`infisical-iac apply` writes both",
        )
    shared = read_variables(of_all, "KEEP", "ANSWER_SECONDS")
    login = read_variables(runner.text(f"{_CONFIGURATION}/{target}.env") or "", *TARGET_LOGIN)
    address = known["REPOSITORY"]
    # An empty variable counts as none for restic.
    environment = {name: login.get(name, "") for name in TARGET_LOGIN} | {
        "RESTIC_REPOSITORY": _add_login(address, login),
        "RESTIC_PASSWORD_FILE": str(runner.path(_PASSWORD)),
        "RESTIC_CACHE_DIR": str(runner.path(_CACHE)),
    }
    ssh = known.get("SSH", "")
    return TargetRepository(
        runner,
        address,
        environment,
        ("--option", f"sftp.command={ssh}") if ssh else (),
        shlex.split(shared.get("KEEP", "")),
        shared.get("ANSWER_SECONDS", _ANSWER_SECONDS),
        known.get("APPEND_ONLY") == "true",
    )


def _add_login(address: str, login: Mapping[str, str]) -> str:
    """Return the address with the login of a rest-server, which restic before 0.17 needs."""
    name = login.get("RESTIC_REST_USERNAME", "")
    if not name:
        return address
    scheme, _, place = address.partition("://")
    parts = (name, login.get("RESTIC_REST_PASSWORD", ""))
    escaped = ("".join(f"%{byte:02x}" for byte in each.encode()) for each in parts)
    return f"{scheme}://{':'.join(escaped)}@{place}"


def _explain_unread(
    repository: TargetRepository, done: Output, seconds: float | str
) -> RuntimeError:
    """Return the error for a repository that can't be read."""
    reason, address = repository.explain_failure(done, seconds), repository.address
    if "wrong password" in reason:
        return _refuse(
            done,
            f"{address} has another password than {_PASSWORD}",
            "bring that file back from a recovery kit that was made since the last "
            "`keys rotate restic`",
        )
    missing = r"repository does not exist|config file: .*(no such file|not exist)"
    if re.search(missing, reason):
        return _refuse(
            done,
            f"there is no repository at {address}",
            "the first `infisical-iac backup now` makes it; if it has backups, mount it or correct "
            "the target's address",
        )
    return _refuse(done, reason)


def _make_if_new(repository: TargetRepository) -> None:
    """Make the repository at its first use. Raises RuntimeError with a Failure.

    If a known one is missing, or another one is in its place, a disk may not be mounted: only the
    operator can decide what to do.
    """
    runner, address = repository.runner, repository.address
    digest = sha256(f"{address}\n".encode()).hexdigest()
    record = f"{_KNOWN}/{digest[:16]}"
    known = (runner.text(record) or "").strip()
    config = ("--no-lock", "cat", "config")
    done = repository.ask(*config)
    if done.status != 0:
        reason = repository.explain_failure(done)
        if "wrong password" in reason:
            raise _refuse(
                done,
                f"{address} has another password than {_PASSWORD}",
                "restore that file, or move the repository away",
            )
        if known:
            message = f"the repository {address}, which has backups, can't be reached: {reason}"
            raise _refuse(done, message)
        made = repository.ask("init")
        if made.status != 0:
            raise _refuse(made, reason)
        done = repository.ask(*config)
        if done.status != 0:
            raise _refuse(done, repository.explain_failure(done))
    found = str(json.loads(done.text)["id"])
    if known not in ("", found):
        raise _refuse(
            None,
            f"{address} is another repository than the one that has the backups",
            f"restore that one, or remove {record} to continue with this one",
        )
    if not known:
        write(runner.path(record), f"{found}\n".encode())


def save(runner: Runner, target: str, folder: str) -> Iterator[str]:
    """Save the snapshot in `<folder>/snapshot` with the tags in `<folder>/tags`.

    Yields `snapshot <id>`, `added <bytes>` and `snapshots <number>`, each as soon as it is known.
    Raises RuntimeError with a Failure.
    """
    repository = open_target(runner, target)
    tags = (runner.text(f"{folder}/tags") or "").strip()
    _make_if_new(repository)
    # Removes only locks whose process is gone, or that are older than half an hour.
    done = repository.ask("unlock")
    if done.status != 0:
        raise _refuse(done, repository.explain_failure(done))
    place = str(runner.path(f"{folder}/snapshot"))
    saving = ("--json", "backup", "--tag", tags, ".")
    done = repository.run(*saving, seconds=_SAVE_SECONDS, folder=place)
    if done.status != 0:
        raise _refuse(done, repository.explain_failure(done, _SAVE_SECONDS))
    summary = _read_summary(done.text)
    yield f"snapshot {str(summary['snapshot_id'])[:8]}"
    yield f"added {summary['data_added']}"
    # A server that is append-only would refuse it; old snapshots are removed from elsewhere.
    if not repository.append_only:
        removing = ("forget", "--tag", _TAG, "--group-by", "", *repository.keep, "--prune")
        done = repository.run(*removing, seconds=_READ_SECONDS)
        if done.status != 0:
            reason = repository.explain_failure(done, _READ_SECONDS)
            message = f"the snapshot is made, but old ones can't be removed: {reason}"
            raise _refuse(done, message)
    yield f"snapshots {len(_list(repository))}"


def _read_summary(text: str) -> dict[str, Any]:
    """Return the summary in restic's output about a snapshot that it saved, a JSON line each."""
    for line in text.splitlines():
        if '"summary"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    raise _refuse(None, "restic does not report which snapshot it has saved")


def list_snapshots(runner: Runner, target: str) -> list[dict[str, Any]]:
    """Return the snapshots as restic describes them. Raises RuntimeError with a Failure."""
    return _list(open_target(runner, target))


def _list(repository: TargetRepository) -> list[dict[str, Any]]:
    done = repository.ask("--no-lock", "--json", "snapshots", "--tag", _TAG)
    if done.status != 0:
        raise _explain_unread(repository, done, repository.seconds)
    found: list[dict[str, Any]] | None = json.loads(done.text or "[]")
    return found or []


def fetch(runner: Runner, target: str, snapshot: str, folder: str) -> None:
    """Fetch the files of a snapshot, or of `latest`, into a folder.

    Raises RuntimeError with a Failure. restic prints an error for each file that it could not
    read; the first has the cause.
    """
    repository = open_target(runner, target)
    call = ("--no-lock", "restore", snapshot, "--tag", _TAG, "--target", folder)
    done = repository.run(*call, seconds=_READ_SECONDS)
    if done.status == 0:
        return
    first = next(iter(re.findall("(?m)^ignoring error for (.*)", done.errors)), "")
    if not first:
        raise _explain_unread(repository, done, _READ_SECONDS)
    if "no space left" in first:
        message = f"there is no space for the snapshot's files in {folder}"
        raise _refuse(done, message, "make room")
    if re.search("no such file|not exist|not found", first):
        what = "is missing"
    elif re.search("too short|EOF", first):
        what = "is truncated"
    else:
        what = "was altered"
    raise _refuse(done, f"the snapshot can't be read, because a pack of it {what}: {first}")


def _identify(repository: TargetRepository, file: str) -> str:
    """Return the id of the repository's key for the password in a file; empty if it opens none.

    Raises RuntimeError with a Failure.
    """
    path = str(repository.runner.path(file))
    call = ("--no-lock", "--json", "--password-file", path, "key", "list")
    done = repository.run(*call, seconds=_KEY_SECONDS)
    if done.status == 0:
        current = [each["id"] for each in json.loads(done.text) if each.get("current")]
        if not current:
            message = f"restic does not report which key opens {repository.address}"
            raise _refuse(done, message)
        return str(current[0])
    reason = repository.explain_failure(done, _KEY_SECONDS)
    if "wrong password" in reason:
        return ""
    raise _refuse(done, reason)


@action
def reach(runner: Runner, *, target: str) -> None:
    """Fail if the host's password does not open the repository.

    As for the other two actions, another step for the keys is waited for. Raises RuntimeError with
    a Failure.
    """
    with _hold_keys(runner):
        repository = open_target(runner, target)
        if not _identify(repository, _PASSWORD):
            message = f"{repository.address} has another password than {_PASSWORD}"
            raise _refuse(None, message)


@action
def admit(runner: Runner, *, target: str, file: str) -> None:
    """Add the password in a file to the repository. Raises RuntimeError with a Failure."""
    with _hold_keys(runner):
        repository = open_target(runner, target)
        if _identify(repository, file):
            return
        call = ("key", "add", "--new-password-file", str(runner.path(file)))
        _change_keys(repository, *call)
        if not _identify(repository, file):
            message = f"{repository.address} does not open by the key that was added"
            raise _refuse(None, message)


@action
def dismiss(runner: Runner, *, target: str, file: str) -> None:
    """Remove the password in a file from the repository. Raises RuntimeError with a Failure."""
    with _hold_keys(runner):
        if not runner.path(file).exists():
            return
        repository = open_target(runner, target)
        # A key may have been added more than once.
        for _ in range(5):
            key = _identify(repository, file)
            if not key:
                return
            if repository.run("key", "remove", key, seconds=_KEY_SECONDS).status != 0:
                # A lock of a dead process may block it.
                _change_keys(repository, "unlock")
                _change_keys(repository, "key", "remove", key)
        message = f"{repository.address} still opens by the key that was removed"
        raise _refuse(None, message)


def _hold_keys(runner: Runner) -> Any:
    busy = "another step of a rotation holds the keys: wait for its end"
    return hold(runner.path(_KEYS), _LOCK_SECONDS, busy)


def _change_keys(repository: TargetRepository, *words: str) -> None:
    done = repository.run(*words, seconds=_KEY_SECONDS)
    if done.status != 0:
        raise _refuse(done, repository.explain_failure(done, _KEY_SECONDS))
