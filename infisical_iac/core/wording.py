"""Join names and numbers into the words of a sentence."""

from collections.abc import Iterable

from infisical_iac.agent.runner import join_names as join_names


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
