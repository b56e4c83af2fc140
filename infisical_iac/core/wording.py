"""Join names and numbers into the words of a sentence."""

from collections.abc import Iterable


def join_names(names: Iterable[object]) -> str:
    """Return names as an enumeration, such as `api, web and worker`; empty for none."""
    *first, last = [str(each) for each in names] or [""]
    return f"{', '.join(first)} and {last}" if first else last
