"""JavaScript and TypeScript, with what is no code blanked out."""

import re

_TOKENS = re.compile(
    r"""
      (?P<comment> (?<![:\\])//[^\n]* | /\*(?:.*?\*/|.*) )
    | (?P<string> "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    | `(?:\\.|[^`\\])*`?                                        # kept: there is code in ${…}
    """,
    re.VERBOSE | re.DOTALL,
)
_CODE = re.compile(r"[{}=+;]")
_BLANK = re.compile(r"[^\n]")


def code(text: str) -> str:
    """The text with blanks for comments and for strings of several words; lines stay.

    What is no code speaks of keys that nothing reads, such as `// set process.env.OLD first`.
    """
    return _TOKENS.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    token = found[0]
    # With these in it, it is code between two apostrophes, as in JSX: <p>Don't {…} it's</p>.
    is_sentence = (
        found["string"] is not None and re.search(r"\s", token) and not _CODE.search(token)
    )
    return _BLANK.sub(" ", token) if found["comment"] is not None or is_sentence else token
