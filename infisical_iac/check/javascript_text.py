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
_BLANK = re.compile(r"[^\n]")


def code(text: str) -> str:
    """The text with blanks for comments and for strings of several words; lines stay.

    What is no code speaks of keys that nothing reads, such as `// set process.env.OLD first`.
    """
    return _TOKENS.sub(_kept, text)


def _kept(found: re.Match[str]) -> str:
    token = found[0]
    is_sentence = found["string"] is not None and any(map(str.isspace, token))
    return _BLANK.sub(" ", token) if found["comment"] is not None or is_sentence else token
