"""The one family of errors that is meant for people."""


class UserError(Exception):
    """What went wrong, where, and what to do, in one sentence and without any secret.

    Everything that a user can cause or cure is raised as a subclass; the operations and
    the command line print it as it is, never as a traceback.
    """
