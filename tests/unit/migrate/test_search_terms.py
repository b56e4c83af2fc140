"""Test that known values are found in each form, at any offset and across chunks."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.migrate.search_terms import SearchTerms, why_skipped

_VALUE = 'fake>"Ünsafe" key/1?2\nand a~second+line&'
_PEM = "-----BEGIN FAKE KEY-----\n" + "b3BlbnNzaC1rZXk\n" * 700 + "-----END FAKE KEY-----\n"


def _go(text: str) -> str:
    escapes = {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"}
    return "".join(escapes.get(sign, sign) for sign in json.dumps(text, ensure_ascii=False))


_WRITERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "nothing": ("as it is", str),
    "line ends of Windows": ("with other line ends", lambda text: text.replace("\n", "\r\n")),
    "JSON": ("JSON-escaped", lambda text: json.dumps(text, ensure_ascii=False)),
    "JSON in ASCII": ("JSON-escaped", json.dumps),
    "JSON with large digits": ("JSON-escaped", lambda text: json.dumps(text).replace("dc", "DC")),
    "JSON of PHP": ("JSON-escaped", lambda text: json.dumps(text).replace("/", r"\/")),
    "JSON of Go": ("JSON-escaped", _go),
    "JSON with line ends": ("JSON-escaped", lambda text: json.dumps(text.replace("\n", "\r\n"))),
    "a URL": ("URL-encoded", lambda text: quote(text, safe="")),
    "a URL with small digits": ("URL-encoded", lambda text: quote(text, safe="~").lower()),
    "a path": ("URL-encoded", quote),
    "a form": ("URL-encoded", quote_plus),
    "encodeURIComponent": ("URL-encoded", lambda text: quote(text, safe="!~*'()")),
    "encodeURI": ("URL-encoded", lambda text: quote(text, safe="!*'();/?:@&=+$,#")),
    "base64": ("base64", lambda text: b64encode(text.encode()).decode()),
    "base64 after one": ("base64", lambda text: b64encode(b"." + text.encode()).decode()),
    "base64 after two": ("base64", lambda text: b64encode(b".." + text.encode()).decode()),
    "base64 for URLs": ("base64", lambda text: urlsafe_b64encode(text.encode()).decode()),
    "base64 with line ends": (
        "base64",
        lambda text: b64encode(text.replace("\n", "\r\n").encode()).decode(),
    ),
}


def _forms(terms: SearchTerms, *chunks: bytes) -> set[str]:
    return {found.form for found in terms.search(chunks)}


@pytest.mark.parametrize(("form", "write"), _WRITERS.values(), ids=_WRITERS)
def test_a_value_is_found_in_each_form_and_the_form_is_named(
    form: str, write: Callable[[str], str]
) -> None:
    value = _VALUE.lower() if write("A") == "a" else _VALUE
    written = f"some text {write(value)} more text".encode()
    assert _forms(SearchTerms({"A": value}), written) == {form}


@pytest.mark.parametrize("write", [writer for _, writer in _WRITERS.values()], ids=_WRITERS)
def test_a_value_with_a_different_end_is_not_found(write: Callable[[str], str]) -> None:
    other = write(_VALUE[:-2] + "EF")
    assert _forms(SearchTerms({"A": _VALUE}), other.encode()) == set()


@given(
    value=st.text(min_size=8, max_size=40).filter(lambda text: not why_skipped(text)),
    before=st.binary(max_size=30),
    size=st.integers(1, 60),
)
def test_a_value_is_found_in_chunks_of_any_size(value: str, before: bytes, size: int) -> None:
    written = before + value.encode("utf-8", "surrogatepass") + b" and more"
    chunks = [written[at : at + size] for at in range(0, len(written), size)]
    assert "as it is" in _forms(SearchTerms({"A": value}), *chunks)


@given(value=st.binary(min_size=4, max_size=24), before=st.binary(max_size=8))
def test_base64_is_found_wherever_the_value_begins(value: bytes, before: bytes) -> None:
    text = value.hex() + "key"
    written = b64encode(before + text.encode() + b"more")
    found = _forms(SearchTerms({"A": text}), written)
    assert bool(found) != bool(why_skipped(text))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("short", "shorter than 8 bytes"),
        ("change me now", "plain words"),
        ("1234567890", "a number"),
        ("/var/lib/app", "a path"),
        ("db.example.com:5432", "a host"),
        ("https://api.example.com/v1", "an address without credentials"),
        ("ada@example.com", "a mail address"),
        ("db.example.com", "a name with dots"),
    ],
)
def test_each_skipped_value_has_its_own_reason(value: str, reason: str) -> None:
    assert why_skipped(value) == reason


def test_a_skipped_list_has_the_reason_of_each_part() -> None:
    reasons = why_skipped("ada@example.com,localhost").split(" and ")
    assert reasons == ["a mail address", "plain words"]


def test_a_long_value_is_found_across_chunks() -> None:
    written = f"KEY='{_PEM}'".encode()
    terms = SearchTerms({"A": _PEM})
    assert _forms(terms, written[:3000], written[3000:7000], written[7000:]) == {"as it is"}


def test_white_space_around_a_value_does_not_hide_it() -> None:
    terms = SearchTerms({"A": "  fake-0f9a1b2c\n"})
    assert _forms(terms, b'"fake-0f9a1b2c"') == {"as it is"}


def test_equal_values_are_found_under_all_labels_and_within_other_values() -> None:
    values = {"A": "fake-0f9a1b2c", "B": "fake-0f9a1b2c", "C": "postgres://app:fake-0f9a1b2c@db"}
    found = SearchTerms(values).search([values["C"].encode()])
    assert {each.label for each in found} == {"A", "B", "C"}


def test_a_search_without_values_finds_nothing() -> None:
    assert SearchTerms({}).search([b"some text"]) == set()


@pytest.mark.parametrize(
    "value",
    [
        *("", "a1!b2?c", " a1!b2?c\n"),
        *("********", "0000-0000-0000"),
        *(
            "production",
            "verify-full",
            "LOG_LEVEL",
            "Europe/Berlin",
            "eu-central-1",
            "oauth2-proxy",
        ),
        *("86400000", "2026-11-25", "10.0.0.0/16", "127.0.0.1:5432"),
        *("localhost:3000", "db.internal", "redis://cache:6379/0", "https://api.example.com/v1/"),
        *("https://a.example.com, https://b.example.com:8443", "./data/uploads", "/run/app.sock"),
        "mail@example.com",
    ],
)
def test_a_short_or_common_value_is_skipped(value: str) -> None:
    terms = SearchTerms({"A": value})
    assert terms.searched == []
    assert list(terms.skipped) == ["A"]
    assert terms.search([f"A={value}".encode()]) == set()


@pytest.mark.parametrize(
    "value",
    [
        *("a1!b2?c3", "hunter2hunter2", "correct horse battery staple", "qwhdkshfkahsdkfh"),
        *("9071625384950617", "3f2b8c1e-1111-4222-8333-444444444444", "deadbeefdeadbeefdead"),
        *("redis://:fake@cache:6379", "https://api.example.com/?key=fake", "app:fake-password"),
        "https://hooks.example.com/T0FAKE/xYz0FaKe1AbC2",
    ],
)
def test_a_possible_secret_is_searched_for(value: str) -> None:
    terms = SearchTerms({"A": value})
    assert terms.searched == ["A"]
    assert _forms(terms, f"A={value}".encode()) == {"as it is"}


def test_search_terms_and_results_do_not_show_values() -> None:
    terms = SearchTerms({"A": "fake-0f9a1b2c"})
    assert "fake-0f9a1b2c" not in repr(terms)
    assert "fake-0f9a1b2c" not in repr(terms.search([b"fake-0f9a1b2c"]))
