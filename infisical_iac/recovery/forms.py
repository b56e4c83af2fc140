"""The files that a kit can have, and the form of each, from the table that the host reads too."""

import re
from collections.abc import Mapping
from functools import cache

from infisical_iac.core.errors import UserError
from infisical_iac.core.rendering import script_file

# What no line of such a file has: a terminal or a shell may obey it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class FormError(UserError):
    """A file is none of a kit's, or has not the form of one."""


@cache
def _forms() -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    table = re.search(r"(?ms)^ *cat <<'FORMS'\n(.*?)^FORMS$", script_file("forms"))
    assert table
    rows = (line.partition(" ") for line in table[1].splitlines())
    return tuple((re.compile(path), re.compile(form)) for path, _, form in rows)


def check(files: Mapping[str, str], *, where: str) -> None:
    """Refuse files that no kit has, or that have not the form of such a file.

    Args:
        files: the text of each, by its path under /etc/infisical.
        where: whose files they are, for the beginning of a sentence.

    Raises FormError with the path, and without a word of the text.
    """
    for path, text in files.items():
        form = next((form for pattern, form in _forms() if pattern.fullmatch(path)), None)
        if form is None:
            raise FormError(f"{where} has a file {path[:80]!a}, which is none of a recovery kit's")
        if not _has(form, text):
            raise FormError(
                f"{where} has a file {path} that is not what `infisical-iac` writes there: the "
                "form of its text is another"
            )


def _has(form: re.Pattern[str], text: str) -> bool:
    # A lone surrogate can't be written.
    if _CONTROL.search(text) or any("\ud800" <= sign <= "\udfff" for sign in text):
        return False
    return bool(form.fullmatch(f"{text.removesuffix(chr(10))}\n"))
