"""Join names and numbers into the words of a sentence."""

from collections.abc import Iterable


def join_names(names: Iterable[object], word: str = "and") -> str:
    """Return names as an enumeration, such as `api, web and worker`; empty for none.

    Args:
        word: stands before the last name.
    """
    *first, last = [str(each) for each in names] or [""]
    return f"{', '.join(first)} {word} {last}" if first else last


def join_first(names: Iterable[str], most: int) -> str:
    """Return names as an enumeration, such as `api, web and 3 more`.

    Args:
        most: the number of names that are shown; the other names are only counted.
    """
    listed = list(names)
    if len(listed) > most:
        listed = [*listed[:most], f"{len(listed) - most} more"]
    return join_names(listed)


def pluralize(number: int, what: str) -> str:
    """Return a number with a noun, such as `2 secrets`.

    Args:
        what: the noun in the singular; its plural must end in s.
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
