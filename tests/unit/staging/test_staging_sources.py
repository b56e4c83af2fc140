"""Test which archives and options an image gets from this machine's apt."""

from tests.staging.sources import Source, for_release, parse, transport

DEB822 = """\
# The archive itself
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
URIs: file:/srv/own
Suites: ./
Trusted: yes

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
"""


def test_the_paragraphs_of_a_sources_file_are_read_with_folded_lines() -> None:
    archive = Source(
        "http://mirror.example/debian", ("trixie", "trixie-updates"), ("main", "contrib")
    )
    assert parse(DEB822) == [archive, Source("file:/srv/own", ("./",), ())]


def test_the_lines_of_a_sources_list_are_read_without_options_and_comments() -> None:
    text = "# deb http://no.example x main\ndeb [arch=amd64] http://a.example/d bookworm main # x\n"
    assert parse(text) == [Source("http://a.example/d", ("bookworm",), ("main",))]


def test_a_release_gets_only_the_suites_of_debian_under_its_own_name() -> None:
    mirror = "deb http://mirror.example/debian"
    assert for_release(parse(DEB822), "trixie", "bookworm") == [
        f"{mirror} bookworm main",
        f"{mirror} bookworm-updates main",
    ]


def test_an_archive_of_another_vendor_is_ignored() -> None:
    vendor = Source("http://vendor.example", ("trixie",), ("stable",))
    assert for_release([vendor], "trixie", "trixie") == []


def test_only_options_of_the_transport_are_copied() -> None:
    dump = (
        'Dir::Cache "var/cache/apt";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::CaInfo "";\n'
        'Acquire::Check-Date "false";\n'
        'Acquire::GzipIndexes "true";\n'
    )
    proxy, _, check_date, _ = dump.splitlines()[1:]
    assert transport(dump, {}) == [proxy, check_date]


_PROXIES = (("http", "c"), ("https", "b"))


def test_a_proxy_of_the_environment_is_used_where_apt_names_none() -> None:
    environment = {"http_proxy": "http://a.example", "https_proxy": "http://b.example"}
    named, other = (
        f'Acquire::{scheme}::Proxy "http://{host}.example";' for scheme, host in _PROXIES
    )
    assert transport(named, environment) == [named, other]
