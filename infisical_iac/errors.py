"""The one family of errors that is meant for people."""

from typing import ClassVar


class UserError(Exception):
    """What went wrong, where, and what to do, in one sentence and without any secret.

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
