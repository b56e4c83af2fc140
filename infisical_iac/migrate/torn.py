"""Keys and certificates over several lines without quotes: only their first line is read."""

from dataclasses import replace

from infisical_iac.dotenv import Entry, Reading

_BEGIN, _END = "-----BEGIN ", "-----END "


def mended(reading: Reading, text: str) -> Reading:
    """The reading without what a parser takes for entries inside of a torn value.

    What follows the first line of an unquoted PEM block is a piece of a secret: as the name of
    an entry it would be shown and stored. The torn value stays, with the grammar's finding on it.
    """
    lines = text.splitlines()
    torn = [each for each in reading.entries if _is_torn(each)]
    inside = {line for each in torn for line in _inside(each, lines)}
    if not inside:
        return reading
    entries = tuple(each for each in reading.entries if each.first_line not in inside)
    findings = tuple(each for each in reading.findings if each.line not in inside)
    return replace(reading, entries=entries, findings=findings)


def _is_torn(entry: Entry) -> bool:
    value = entry.value.lstrip("\"'`")
    return value.startswith(_BEGIN) and _END not in value


def _inside(entry: Entry, lines: list[str]) -> range:
    after = range(entry.last_line, len(lines))
    end = next((line for line in after if lines[line].lstrip().startswith(_END)), None)
    return range(0) if end is None else range(entry.last_line + 1, end + 2)
