"""Hold what a check of a repository found; never a value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that isn't as it should be or, as a note, that a person should know.

    Attributes:
        kind: a slug, such as `missing-key`.
        place: a path, with a line if there is one, or a folder of Infisical.
        key: the name that it is about, or "".
        message: what is there, and the remedy, in sentences.
        is_note: whether all is well in spite of it.
    """

    kind: str
    place: str
    key: str
    message: str
    is_note: bool = False
