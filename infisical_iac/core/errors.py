"""The one family of errors that is meant for people."""

from typing import ClassVar

# Control characters that lay text out.
LAYOUT = "\n\t"


def printable(text: str, *, keep: str = "") -> str:
    """Return the text on one line, with control characters escaped.

    Names of files and keys, and what a server answers, are others' words: a terminal must not obey
    them.

    Args:
        keep: characters that stay although they are not printable, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text
    )


class UserError(Exception):
    """Say what went wrong, where, and what to do, in one sentence and without any secret.

    Everything that a user can cause or cure is raised as a subclass; the operations and
    the command line print it as it is, never as a traceback.

    Attributes:
        ends_run: whether nothing else of a deploy may be done where an operation raises it; else
            all that does not need that operation is.
        blocks_others: whether what needs an operation that raises it waits; else that operation
            alone is blocked, as where a change is refused and what runs stays as it is.
    """

    ends_run: ClassVar[bool] = False
    blocks_others: ClassVar[bool] = True

    def __str__(self) -> str:
        # It may hold what a host or a server answered, and pyinfra's log prints it too.
        return printable(super().__str__(), keep=LAYOUT)
