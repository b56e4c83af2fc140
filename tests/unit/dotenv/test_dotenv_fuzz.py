"""Compare each grammar with its real parser on random files, with another seed in each run.

A failure prints the seed. `DOTENV_FUZZ_SEED` repeats its run; `DOTENV_FUZZ_FILES` reads more files.
"""

import json
import os
import random
import time
from base64 import b64decode
from itertools import islice
from pathlib import Path

import pytest

from infisical_iac.dotenv import GRAMMARS, Reading, read
from tests.unit.dotenv.real_parsers import ENVIRON, REAL_PARSERS, RealParser
from tests.unit.dotenv.writers import PARTS

_GIVEN = os.environ.get("DOTENV_FUZZ_SEED", "")
_SEED = _GIVEN or str(random.SystemRandom().getrandbits(32))
# Seconds for a grammar, as some values take long to refuse; a run that is repeated takes its time.
_MOST_TIME = 3600 if _GIVEN else 3
_FILES = int(os.environ.get("DOTENV_FUZZ_FILES") or 500)
# A file that a real parser refuses takes a run of Compose, and half a second of Next.js.
_MOST_REFUSED = 10

# Few signs, so that they often meet: Node's releases differ in blanks, comments and quotes.
_SIGNS = [*"AB=# \t\n\r'\"`x\\", "\\n", "export ", "export"]
_VALUES = [*"x1.:/@ $#{}'\"\\`~-", "${A}", "$B", "${C:-x}", "\\n", "\\$", "''", '""']


def _random_file(chance: random.Random) -> bytes:
    form = chance.randrange(3)
    if form == 2:
        values = ("".join(chance.choices(_VALUES, k=chance.randrange(8))) for _ in range(4))
        quotes = (chance.choice(["", "", "'", '"']) for _ in range(4))
        lines = (
            f"{chance.choice(['', '', 'export '])}{chance.choice('ABC')}={quote}{value}{quote}"
            for quote, value in zip(quotes, values, strict=True)
        )
        return "\n".join(islice(lines, chance.randrange(1, 5))).encode()
    return "".join(chance.choices([PARTS, _SIGNS][form], k=chance.randrange(30))).encode()


def _is_endless(reading: Reading) -> bool:
    """Return whether the real parser may take all time or memory for a file."""
    return any(each.kind == "too-much" for each in reading.findings)


@pytest.mark.parametrize(
    ("grammar", "parser"),
    [(name, parser) for name, parsers in REAL_PARSERS.items() for parser in parsers],
)
def test_random_files_are_read_as_the_real_parser_reads_them(
    grammar: str, parser: RealParser
) -> None:
    chance = random.Random(f"{_SEED} {grammar}")
    until = time.monotonic() + _MOST_TIME
    readings = {}
    for _ in range(_FILES):
        file = _random_file(chance)
        # A reference to __proto__ has a value in JavaScript: each object has one.
        is_of_javascript = b"__proto__" in file and b"$" in file
        if not is_of_javascript and time.monotonic() < until:
            readings[file] = read(file, grammar, ENVIRON)
    accepted = [file for file, each in readings.items() if not each.error]
    refused = [file for file, each in readings.items() if each.error and not _is_endless(each)]
    results = dict(zip(accepted, parser.read(accepted), strict=True))
    if not parser.runs_commands:
        step = len(refused) // _MOST_REFUSED + 1
        results |= {file: parser.read([file])[0] for file in refused[::step]}
    # The shortest file that differs is reported.
    for file, values in sorted(results.items(), key=lambda each: len(each[0])):
        reading = readings[file]
        ours = None if reading.error else reading.values
        repeat = f"DOTENV_FUZZ_SEED={_SEED} repeats it: {file!r} is read by {parser} as"
        assert ours == values, repeat
        if parser.is_ordered:
            assert [*(ours or ())] == [*(values or ())], repeat


@pytest.mark.parametrize("grammar", sorted({*GRAMMARS} - {"shell"}))
def test_the_recorded_cases_are_what_the_installed_parsers_read(grammar: str) -> None:
    cases = json.loads(Path(__file__).with_name("cases.json").read_text("utf-8"))["cases"]
    files = [b64decode(each["input_b64"]) for each in cases]
    expected = [
        None
        if "__error__" in each[grammar]
        else {key: value for key, value in each[grammar].items() if value is not None}
        for each in cases
    ]
    accepted = [file for file, each in zip(files, expected, strict=True) if each is not None]
    for parser in REAL_PARSERS[grammar]:
        assert parser.read(accepted) == [each for each in expected if each is not None]
        others = (file for file in files if file not in accepted)
        assert not any(parser.read([file])[0] for file in others)


def test_every_grammar_has_a_real_parser() -> None:
    assert {*REAL_PARSERS} == {*GRAMMARS}
