"""The errors that are reported to the user.

* UserError: an error that a user can cause or correct
  * SettingsError: a setting, an option or an answer can't be used
  * FileError: a file on this machine can't be read, used or written
  * Refused: the state of the hosts does not allow it; nothing was changed
  * Unreachable: a host, or Infisical, did not answer
  * ApiError: Infisical answered with an error
  * NotBootstrapped: this project has no login to Infisical
  * CommandFailed: a command on the host failed
  * CheckFailed: an instance or an identity did not pass its checks
  * RunFailed: a run, or a change in it, failed

The agent's errors are RuntimeErrors with a Failure, which becomes the class of its code here. Those
of its requests to Infisical are the bases of ApiError and Unreachable.

`core.operation.Refusal` carries one through pyinfra's command line. A `.env` file that can't be
parsed is a finding about that file and no error of a run: `dotenv.text.FileRefused`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from infisical_iac.agent.answers import AnswerError, ErrorAnswer, NoAnswer
from infisical_iac.agent.runner import Failure

# Control characters that lay out text, and are safe to print.
LAYOUT = "\n\t"

# The beginnings of the remedy in a sentence: "what: do this", "what; if so, do this", "what, so do
# this", "what: `command` does it". Before a path the word is a system call, as in "open /run/x: …".
_VERBS = (
    "add|allow|apply|ask|attach|back up|bring|change|check|choose|compare|copy|correct|cure|delete|"
    "deploy|detach|end|free|get|give|go|have|install|keep|leave|let|log in|look|make|name|open it|"
    "pin|plan|push|put|read|remove|rename|renew|repair|restore|run|save|say|scan|see|set|start|stop|take|"
    "try|turn|update|upgrade|use|wait|write"
)
_REMEDY = re.compile(
    r"[:;] (?=`|age-keygen|docs/|group_data/|there are: |without --|the (?:first|next) |"
    rf"(?:did you mean|for everybody|if|it takes|the settings have|{_VERBS})"
    r"\b(?! ?/| tcp| unix))"
    rf"|, so (?=(?:{_VERBS})\b)|, and (?=`infisical-iac )"
)

# The credentials before the host of an address. After "//" they are all of the text up to the "@",
# also with blanks if the address is quoted. Without "//" they have a colon. A user of SSH or SFTP
# without a password is no secret, and neither is the digest of an image.
_ONLY_A_USER = r"(?:(?<=ssh://)|(?<=sftp://))[^\s:/@'\"]+@(?![^'\"\n]*@)"
_LOGIN = re.compile(
    rf"""
    (?P<begin>(?P<quote>['"])[a-z0-9+.:-]*//)(?!{_ONLY_A_USER})(?:\\.|(?!(?P=quote)).)*@
    | (?<=//)(?!{_ONLY_A_USER})(?:[^\s/]*|\S*:\S*)@
    | (?<=[:/'"])(?!sftp:[^\s:]*@)[^\s/:@'"]+:\S*@(?!sha256:)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def mask_logins(text: str) -> str:
    """Return the text with the credentials in addresses masked."""
    return _LOGIN.sub(lambda found: f"{found['begin'] or ''}***@", text) if "@" in text else text


def printable(text: str, *, keep: str = "") -> str:
    """Return the text with control characters escaped, except those to `keep`.

    Names of files and keys and a server's answers are untrusted: a terminal must not obey them.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text
    )


class UserError(Exception):
    """An error that a user can cause or correct.

    Its sentence says what went wrong, where, and what to do. It holds no secret. Operations and the
    command line print it as it is, never as a traceback.

    Attributes:
        code: the reason for programs, which is stable: the code of the class, or a more specific
            one that begins with it and a dot. A run that is refused has the code of its reason.
        ends_run: whether the error ends the whole deploy if an operation raises it; else the deploy
            does everything that does not need that operation.
        blocks_others: whether operations that need the one that raises it are blocked too. False
            for a refused change: what runs stays as it is.
        part: the part of the deploy that the error blocks; empty for all of it.
    """

    code = "error"

    def __init__(
        self,
        sentence: str,
        *,
        code: str = "",
        ends_run: bool = False,
        blocks_others: bool = True,
        part: str = "",
    ) -> None:
        super().__init__(sentence)
        self.code = code or self.code
        self.ends_run, self.blocks_others, self.part = ends_run, blocks_others, part

    def split(self) -> tuple[str, str]:
        """Return the error and its remedy; the remedy is empty if the sentence has none."""
        sentence = str(self)
        for found in _REMEDY.finditer(sentence):
            # A remedy in brackets belongs to another error, which this one reports.
            if sentence.count("(", 0, found.start()) == sentence.count(")", 0, found.start()):
                return sentence[: found.start()], sentence[found.end() :]
        return sentence, ""

    def __str__(self) -> str:
        # The sentence may hold an answer of a host or a server, and pyinfra's log prints it too.
        return printable(mask_logins(super().__str__()), keep=LAYOUT)


class SettingsError(UserError):
    """A setting, an option, a variable of the environment or an answer can't be used."""

    code = "settings"


class FileError(UserError):
    """A file or repository on this machine, or a text in its place, can't be read or written."""

    code = "file"


class Refused(UserError):
    """The state of the hosts does not allow the action; nothing was changed."""

    code = "refused"


class Unreachable(UserError, NoAnswer):
    """A host or a server did not answer: the connection was refused, broke or timed out."""

    code = "unreachable"


class ApiError(UserError, AnswerError):
    """Infisical answered with an error.

    Attributes:
        status, error, message, method, path, retry_after: as in `ErrorAnswer`.
    """

    code = "api"

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        method: str,
        path: str,
        retry_after: float | None = None,
        *,
        remedy: str = "",
        code: str = "",
    ) -> None:
        self.status, self.error, self.message = status, error, message
        self.method, self.path, self.retry_after = method, path, retry_after
        answer = ErrorAnswer(status, error, message, method, path, remedy=remedy)
        super().__init__(answer.sentence, code=code)

    @classmethod
    def of(cls, answer: ErrorAnswer) -> Self:
        return cls(
            answer.status,
            answer.error,
            answer.message,
            answer.method,
            answer.path,
            answer.retry_after,
            remedy=answer.remedy,
            code=answer.code,
        )


class NotBootstrapped(UserError):
    """The host has no login as deployer or administrator, or Infisical does not know it."""

    code = "not_bootstrapped"


class CommandFailed(UserError):
    """A command on the host failed; the sentence holds the last lines of its error output."""

    code = "command"


class CheckFailed(UserError):
    """An instance or an identity did not pass its checks, such as those after an upgrade."""

    code = "checks"


class RunFailed(UserError):
    """A run, or a change in it, failed; the sentence describes the present state."""

    code = "run"


# The class of a Failure, by its code up to the first dot; another one is a CommandFailed.
_OF_FAILURES: dict[str, type[UserError]] = {
    each.code: each
    for each in (UserError, FileError, Refused, Unreachable, NotBootstrapped, CheckFailed)
}


def explain_failure(failure: Failure) -> UserError:
    """Return the error for a Failure of the agent, which keeps its code."""
    kind = _OF_FAILURES.get(failure.code.partition(".")[0], CommandFailed)
    sentence = ": ".join(filter(None, (failure.message, failure.remedy)))
    return kind(sentence, code=failure.code, ends_run=failure.ends_run)


@contextmanager
def agent_failures() -> Iterator[None]:
    """Raise the Failure of an agent's function that is called on this machine as a UserError."""
    try:
        yield
    except UserError:
        raise
    except RuntimeError as error:
        if not (error.args and isinstance(error.args[0], Failure)):
            raise
        raise explain_failure(error.args[0]) from error.__cause__
