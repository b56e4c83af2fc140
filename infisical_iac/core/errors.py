"""The one tree of errors that are meant for people.

* UserError: what a user can cause or cure
  * SettingsError: a setting, an option or an answer can't be used
  * FileError: a file on this machine, or a text like one, can't be read, used or written
  * Refused: the hosts as they are don't allow it; nothing was changed
  * Unreachable: no answer came from a host, or from Infisical
  * ApiError: Infisical answered, and it is no success
  * NotBootstrapped: nobody of this project can log in to Infisical
  * CommandFailed: a command on the host ended with an error
  * CheckFailed: what runs does not do what it must
  * RunFailed: a run did not come to its end; the sentence says what is so now

`core.operation.Refusal` takes one through pyinfra's command line. What the parser of a `.env` file
refuses is a finding about that file, and no error of a run: `dotenv.text.FileRefused`.
"""

import re

# Control characters that lay text out.
LAYOUT = "\n\t"

# How a sentence goes on where it says what to do: "what: do this", "what; if so, do this",
# "what, so do this", "what: `command` does it". A path after the word is a system call's, as in
# "open /run/x: …".
_VERBS = (
    "add|apply|ask|attach|back up|bring|change|check|choose|compare|copy|correct|cure|delete|"
    "deploy|detach|end|free|get|give|go|have|install|keep|leave|let|log in|look|make|name|open it|"
    "pin|plan|push|put|read|remove|rename|renew|restore|run|save|say|scan|see|set|start|stop|take|"
    "try|turn|upgrade|use|wait|write"
)
_REMEDY = re.compile(
    r"[:;] (?=`|age-keygen|docs/|group_data/|there are: |without --|the (?:first|next) |"
    rf"(?:did you mean|for everybody|if|it takes|most of its|the settings have|{_VERBS})"
    r"\b(?! ?/| tcp| unix))"
    rf"|, so (?=(?:{_VERBS})\b)|, and (?=`infisical-iac )"
)

# What logs in by an address, before its host: whatever stands there after "//", blanks too where
# the address is quoted, and elsewhere what has a colon in it. The user of SSH or SFTP alone is no
# secret, and a digest comes after an image.
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
    """Return the text with what logs in by each address in it masked."""
    return _LOGIN.sub(lambda found: f"{found['begin'] or ''}***@", text) if "@" in text else text


def printable(text: str, *, keep: str = "") -> str:
    """Return the text on one line, with control characters escaped but for those to `keep`.

    Names of files and keys, and what a server answers, are others' words: a terminal must not obey
    them.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text
    )


class UserError(Exception):
    """Say what went wrong, where, and what to do, in one sentence and without any secret.

    Everything that a user can cause or cure is raised as one; the operations and the command line
    print it as it is, never as a traceback.

    Attributes:
        code: names the reason for programs, and stays: the one of the class, or a more specific one
            that begins with it and a dot. A run that ended before it began has its reason's.
        ends_run: whether nothing else of a deploy may be done where an operation raises it; else
            all that does not need that operation is.
        blocks_others: whether what needs an operation that raises it waits; else that operation
            alone is blocked, as where a change is refused and what runs stays as it is.
        part: the part of a deploy that can't go on for what is so on the host; empty for all of it.
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
        """Return what went wrong, and what to do; the latter is empty if the sentence has none."""
        sentence = str(self)
        for found in _REMEDY.finditer(sentence):
            # What is in brackets is of another error, which this one tells of.
            if sentence.count("(", 0, found.start()) == sentence.count(")", 0, found.start()):
                return sentence[: found.start()], sentence[found.end() :]
        return sentence, ""

    def __str__(self) -> str:
        # It may hold what a host or a server answered, and pyinfra's log prints it too.
        return printable(mask_logins(super().__str__()), keep=LAYOUT)


class SettingsError(UserError):
    """A setting, an option, a variable of the environment or an answer can't be used."""

    code = "settings"


class FileError(UserError):
    """A file or repository on this machine, or a text like one, can't be read, used or written."""

    code = "file"


class Refused(UserError):
    """The hosts, or what is on them, don't allow what was asked for."""

    code = "refused"


class Unreachable(UserError):
    """No answer came: refused, broken off or timed out."""

    code = "unreachable"


class ApiError(UserError):
    """An answer of Infisical that is no success.

    Attributes:
        status: the HTTP status.
        error: Infisical's name for the kind of error, such as `TokenError`.
        message: Infisical's words, in one line, without anything secret that was sent.
        method, path: what was asked.
        retry_after: the seconds to wait that the server names, at most thirty; None without.
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
    ) -> None:
        self.status, self.error, self.message = status, error, message
        self.method, self.path, self.retry_after = method, path, retry_after
        sentence = f"{method} {path} was answered {status} {error}: {message.rstrip('.')}"
        super().__init__(f"{sentence}; {remedy}" if remedy else sentence)


class NotBootstrapped(UserError):
    """There is no deployer or administrator on the host, or the server does not know it."""

    code = "not_bootstrapped"


class CommandFailed(UserError):
    """A command on the host ended with an error; the sentence holds its last lines."""

    code = "command"


class CheckFailed(UserError):
    """An instance or an identity is not as it must be, such as before a new version is kept."""

    code = "checks"


class RunFailed(UserError):
    """A run, or a change in it, did not come to its end; the sentence says what is so now."""

    code = "run"
