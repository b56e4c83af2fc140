"""Test that Caddy's files are installed only after a check, and that keys are not shown."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.core.agent import Question
from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import CheckFailed
from infisical_iac.core.files import File
from infisical_iac.stack import compose, ingress
from infisical_iac.stack.ingress import IngressState, Pair, caddyfile
from infisical_iac.stack.pull import ImageSources
from tests.unit.operations.cases import of
from tests.unit.performed import perform
from tests.unit.settings_of import NAME, settings_of
from tests.unit.stack.certificates import NOW, pair

_SETTINGS = settings_of()
_OWN = pair(NAME)
_DIRECTORY, _LOGS = "/etc/infisical/ingress", "/var/log/infisical-access/live"
_CADDYFILE, _CERTIFICATE, _KEY = (
    f"{_DIRECTORY}/{name}" for name in ("Caddyfile", "tls.crt", "tls.key")
)
_DIRECTORIES = {
    _DIRECTORY: PathState("directory", "700", "root:root"),
    _LOGS: PathState("directory", "750", "root:root"),
}
_OTHER = PathState("regular file", "600", "root:root", "0" * 64)


def _install(own: Pair | None = None, **others: PathState) -> IngressState:
    """Return the state of a host whose Caddy runs with the settings and the user's certificate."""
    config = caddyfile(_SETTINGS, own.certificate if own else "")
    texts = {_CADDYFILE: config.text}
    if own:
        texts |= {_CERTIFICATE: own.certificate, _KEY: own.key}
    files = {path: File(path, text, mode="600").state for path, text in texts.items()}
    return IngressState({**_DIRECTORIES, **files, **others}, config.revision)


def _with(there: IngressState, **states: PathState | None) -> IngressState:
    """Return the state with another Caddyfile, certificate or key; None removes the file."""
    paths = {"caddyfile": _CADDYFILE, "certificate": _CERTIFICATE, "key": _KEY}
    files: dict[str, Any] = {**there.files, **{paths[name]: each for name, each in states.items()}}
    return replace(there, files={path: each for path, each in files.items() if each})


class _Host:
    """A host with or without Caddy's image, which records commands and written files."""

    def __init__(self) -> None:
        self.image = "present"
        self.said = ""
        self.calls: list[str] = []
        self.written: dict[str, tuple[str, str]] = {}
        self.asked: list[Question[IngressState]] = []
        self.found = IngressState()

    def run(self, command: str, *, doing: str) -> str:
        self.calls.append(command)
        return self.image if "image inspect" in command else ""

    def perform(self, asked: Question[None], *, doing: str) -> None:
        self.ask(asked)

    def ask(self, asked: Question[Any]) -> str:
        (call,) = asked.calls
        words = map(str, json.loads(call.arguments).values())
        self.calls.append(" ".join([call.name, *words]))
        return self.said

    def write(self, path: str, content: str, *, mode: str) -> None:
        self.calls.append(f"write {path}")
        self.written[path] = content, mode

    def fetch(self, images: Iterable[str], sources: ImageSources) -> None:
        self.calls.append(f"fetch {' '.join(images)} from {' '.join(sources.archives)}")

    def inspect(self, question: Question[IngressState]) -> IngressState:
        self.asked.append(question)
        return self.found


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(ingress, "perform", made.perform)
    monkeypatch.setattr(ingress, "ask", made.ask)
    monkeypatch.setattr(ingress, "run", made.run)
    monkeypatch.setattr(ingress, "write", made.write)
    monkeypatch.setattr(ingress, "inspect", made.inspect)
    monkeypatch.setattr(compose, "fetch", made.fetch)
    return made


@pytest.mark.parametrize("own", [None, _OWN])
def test_files_in_effect_are_not_changed(own: Pair | None) -> None:
    (said,) = ingress.decide(_SETTINGS, _install(own), own)
    assert isinstance(said, UpToDate)


@pytest.mark.parametrize(
    ("there", "own", "changes"),
    [
        (
            _install(),
            _OWN,
            [
                f"~ {_CADDYFILE}",
                f"+ {_CERTIFICATE}: until 2026-12-26",
                f"+ {_KEY}",
            ],
        ),
        (_with(_install(_OWN), key=_OTHER), _OWN, [f"~ {_KEY}"]),
        (
            _with(_install(_OWN), certificate=_OTHER),
            _OWN,
            [f"~ {_CERTIFICATE}: until 2026-12-26"],
        ),
        (_with(_install(), caddyfile=None), None, [f"+ {_CADDYFILE}"]),
        (
            _with(_install(), certificate=_OTHER, key=_OTHER),
            None,
            [f"- {_CERTIFICATE}: no setting names it", f"- {_KEY}: no setting names it"],
        ),
        (_with(_install(), key=_OTHER), None, [f"- {_KEY}: no setting names it"]),
    ],
)
def test_each_wrong_file_is_named_and_all_are_installed_at_once(
    host: _Host, there: IngressState, own: Pair | None, changes: list[str]
) -> None:
    assert perform(ingress.decide(_SETTINGS, there, own)) == changes
    assert host.calls[-1] == f"ingress.take {_SETTINGS.stack.caddy_image}"


def test_a_caddy_that_runs_with_another_caddyfile_is_reported(host: _Host) -> None:
    (change,) = perform(ingress.decide(_SETTINGS, replace(_install(), revision="none"), None))
    assert change.startswith("~ Caddy: ")
    assert host.calls[-1] == f"ingress.take {_SETTINGS.stack.caddy_image}"


def test_changes_do_not_show_the_key(host: _Host) -> None:
    changes = [*ingress.decide(_SETTINGS, _with(_install(_OWN), key=_OTHER), _OWN)]
    assert "PRIVATE" not in repr(changes[:-1])


@pytest.mark.parametrize(
    ("actual", "change"),
    [
        (None, f"+ {_DIRECTORY}"),
        (
            PathState("directory", "755", "root:root"),
            f"~ {_DIRECTORY}: 755 root:root → 700 root:root",
        ),
        (
            PathState("directory", "700", "caddy:caddy"),
            f"~ {_DIRECTORY}: 700 caddy:caddy → 700 root:root",
        ),
    ],
)
def test_directories_are_private_to_root(
    host: _Host, actual: PathState | None, change: str
) -> None:
    there = _install()
    files = {path: each for path, each in there.files.items() if path != _DIRECTORY}
    if actual:
        files[_DIRECTORY] = actual
    assert perform(ingress.decide(_SETTINGS, replace(there, files=files), None)) == [change]
    assert host.calls == [
        "install --directory --owner=root --group=root --mode=700 /etc/infisical/ingress"
    ]


def test_new_files_are_written_next_to_the_old_files_until_caddy_has_checked_them(
    host: _Host,
) -> None:
    perform(ingress.decide(_SETTINGS, _with(_install(), caddyfile=_OTHER), _OWN))
    image = _SETTINGS.stack.caddy_image
    assert host.calls == [
        f"docker image inspect --format present {image} 2>/dev/null || true",
        "rm -rf /etc/infisical/ingress.new",
        *(f"write {_DIRECTORY}.new/{name}" for name in ("Caddyfile", "tls.crt", "tls.key")),
        f"ingress.take {image}",
    ]
    assert {mode for _, mode in host.written.values()} == {"600"}
    assert host.written[f"{_DIRECTORY}.new/tls.key"][0] == _OWN.key


def test_a_missing_image_is_fetched_before_caddy_checks_the_files(host: _Host) -> None:
    host.image = ""
    settings = settings_of(image_archives=("images.tar",))
    perform(ingress.decide(settings, _with(_install(), caddyfile=_OTHER), None))
    assert host.calls[1] == f"fetch {settings.stack.caddy_image} from images.tar"
    assert host.calls[-1] == f"ingress.take {settings.stack.caddy_image}"


@pytest.mark.parametrize("own", [None, _OWN])
def test_a_command_installs_the_same_files_as_a_deploy(
    monkeypatch: pytest.MonkeyPatch, host: _Host, own: Pair | None
) -> None:
    monkeypatch.setattr(ingress, "read_own_pair", lambda settings: own)
    ingress.bring(_SETTINGS)
    by_command = host.written
    host.written = {}
    perform(ingress.decide(_SETTINGS, IngressState(), own))
    assert by_command == host.written
    assert len(by_command) == (3 if own else 1)


@pytest.mark.parametrize(
    ("site_url", "site", "port"),
    [(f"https://{NAME}", NAME, 443), (f"https://{NAME}:8443", NAME, 8443)],
)
def test_the_files_and_the_certificate_of_the_site_are_inspected(
    host: _Host, site_url: str, site: str, port: int
) -> None:
    settings = settings_of(site_url=site_url)
    perform(of(ingress.configuration)(settings))
    paths = [_CADDYFILE, _CERTIFICATE, _KEY, _DIRECTORY, _LOGS]
    assert host.asked == [ingress.ingress_question(paths=paths, site=site, port=port)]
    files, served = (json.loads(each.arguments) for each in host.asked[0].calls)
    assert files["paths"] == paths
    assert served == {"site": site, "port": port}


@pytest.mark.parametrize("operation", [ingress.configuration, ingress.served_certificate])
def test_nothing_is_read_or_changed_without_an_ingress(host: _Host, operation: Any) -> None:
    (said,) = of(operation)(settings_of(ingress="none"))
    assert isinstance(said, UpToDate)
    assert host.asked == []


def test_behind_a_proxy_caddy_is_configured_and_the_proxy_has_the_certificate(host: _Host) -> None:
    settings = settings_of(ingress="traefik")
    (said,) = of(ingress.served_certificate)(settings)
    assert isinstance(said, UpToDate)
    assert f"+ {_CADDYFILE}" in perform(of(ingress.configuration)(settings))


@pytest.mark.parametrize(("suffix", "port"), [("", 443), (":8443", 8443)])
def test_a_deploy_waits_until_the_certificate_is_served(
    host: _Host, suffix: str, port: int
) -> None:
    settings = settings_of(site_url=f"https://{NAME}{suffix}")
    changes = perform(of(ingress.served_certificate)(settings))
    assert changes == [f"+ certificate of {NAME}: none is served"]
    assert host.calls == [f"ingress.await_certificate {NAME} {port} 120"]


def test_a_missing_certificate_fails_the_run_with_caddys_reason(host: _Host) -> None:
    host.said = "rate limited"
    with pytest.raises(CheckFailed) as failed:
        perform(ingress.decide_certificate(_SETTINGS, IngressState(), None, NOW))
    assert failed.value.code == "checks"
    assert f" {NAME} after 120 s" in str(failed.value)
    assert "(rate limited)" in str(failed.value)
