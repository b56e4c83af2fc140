"""Test that a failed pull has a reason, and that only Docker's standard input gets a password."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from infisical_iac.core.errors import CommandFailed, SettingsError, UserError
from infisical_iac.stack import compose, pull
from infisical_iac.stack.pull import ImageSources, explain_failure, pull_command
from infisical_iac.stack.registry_login import RegistryLogin
from tests.unit.fake_programs import fake_program

_DAEMON = "Error response from daemon: "
_HUB = "https://registry-1.docker.io/v2/"
_AWAITING = "net/http: request canceled while waiting for connection"
_DIGEST = f"sha256:{'a' * 64}"


# Messages of Docker's daemon with its own image store and containerd's, quoted from issues.
@pytest.mark.parametrize(
    ("output", "code"),
    [
        # A registry that stalls or can't be reached.
        (f'{_DAEMON}Get "{_HUB}": {_AWAITING} (Client.Timeout exceeded)', "unreachable"),
        (f'{_DAEMON}Get "{_HUB}": context deadline exceeded', "unreachable"),
        (f'{_DAEMON}Get "{_HUB}": net/http: TLS handshake timeout', "unreachable"),
        (f'{_DAEMON}Get "{_HUB}": dial tcp: lookup registry-1: no such host', "unreachable"),
        (
            f'{_DAEMON}Get "{_HUB}": dial tcp: lookup registry-1: Temporary failure in name '
            "resolution",
            "unreachable",
        ),
        (
            f'{_DAEMON}Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: '
            "connection refused",
            "unreachable",
        ),
        (
            f'{_DAEMON}failed to resolve reference "docker.io/a/b:latest": failed to authorize: '
            'failed to fetch anonymous token: Get "https://auth.docker.io/token": EOF',
            "unreachable",
        ),
        ("no answer within 900 seconds", "unreachable"),
        # 401 and 403.
        (f'{_DAEMON}Head "https://r.example/v2/a/manifests/1": no basic auth credentials', "login"),
        (f"{_DAEMON}unauthorized: authentication required", "login"),
        (f'{_DAEMON}Get "https://r.example/v2/": unauthorized: incorrect username', "login"),
        (f"{_DAEMON}Head https://ghcr.io/v2/a/b/manifests/1: denied: denied", "login"),
        (
            f'{_DAEMON}unknown: failed to resolve reference "ghcr.io/a/b:1": unexpected status '
            "from HEAD request to https://ghcr.io/v2/a/b/manifests/1: 403 Forbidden",
            "login",
        ),
        (
            f"{_DAEMON}login attempt to http://127.0.0.1:5000/v2/ failed with status: 401 "
            "Unauthorized",
            "login",
        ),
        # Docker Hub does not distinguish a missing login from a missing repository.
        (
            f"{_DAEMON}pull access denied for acme/infisical, repository does not exist or may "
            "require 'docker login': denied: requested access to the resource is denied",
            "denied",
        ),
        # 404.
        (
            f"{_DAEMON}manifest for infisical/infisical:v9 not found: manifest unknown: manifest "
            "unknown",
            "missing",
        ),
        (
            f'{_DAEMON}failed to resolve reference "docker.io/library/redis:8.99": '
            "docker.io/library/redis:8.99: not found",
            "missing",
        ),
        (f"{_DAEMON}name unknown: repository name not known to registry", "missing"),
        # 429.
        (
            f"{_DAEMON}toomanyrequests: You have reached your unauthenticated pull rate limit. "
            "https://www.docker.com/increase-rate-limit",
            "limit",
        ),
        (
            f"{_DAEMON}error from registry: unexpected status from HEAD request to "
            f"{_HUB}library/redis/manifests/8: 429 Too Many Requests",
            "limit",
        ),
        # 500 and the like.
        (
            f"{_DAEMON}Get {_HUB}library/busybox/manifests/1: Received unexpected HTTP status: 500 "
            "Internal Server Error",
            "server",
        ),
        (
            "error pulling image configuration: download failed after attempts=6: received "
            "unexpected HTTP status: 500 Internal Server Error",
            "server",
        ),
        (f"{_DAEMON}received unexpected HTTP status: 503 Service Unavailable", "server"),
        (f"{_DAEMON}received unexpected HTTP status: 504 Gateway Timeout", "server"),
        # A full disk.
        ("failed to register layer: no space left on device", "disk"),
        (
            "failed to register layer: Error processing tar file(exit status 1): write "
            "/usr/lib/libtorch.so: no space left on device",
            "disk",
        ),
        ("write /var/lib/docker/tmp/GetImageBlob1: disk quota exceeded", "disk"),
        # Other bytes than the digest says.
        (f"{_DAEMON}manifest verification failed for digest {_DIGEST}", "digest"),
        (f"filesystem layer verification failed for digest {_DIGEST}", "digest"),
        (f"{_DAEMON}image config verification failed for digest {_DIGEST}", "digest"),
        (
            f'failed commit on ref "layer-{_DIGEST}": unexpected commit digest sha256:b, expected '
            f"{_DIGEST}: failed precondition",
            "digest",
        ),
        # Another processor, another authority.
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "platform"),
        (
            f'{_DAEMON}Get "https://r.example/v2/": tls: failed to verify certificate: x509: '
            "certificate signed by unknown authority",
            "certificate",
        ),
        (
            f'{_DAEMON}Get "https://127.0.0.9:5000/v2/": http: server gave HTTP response to HTTPS '
            "client",
            "certificate",
        ),
    ],
)
def test_each_message_of_docker_has_a_code(output: str, code: str) -> None:
    error = explain_failure("redis:8", output)
    assert error.code == f"error.pull_{code}"
    sentence, remedy = error.split()
    assert sentence.startswith("could not pull redis:8: ")
    assert remedy


def test_an_unknown_message_of_docker_has_the_general_code() -> None:
    error = explain_failure("redis:8", f"{_DAEMON}something new")
    assert error.code == "error.pull"
    assert "(something new)" in str(error)


def test_a_long_output_is_cut_before_its_cause() -> None:
    error = explain_failure("redis:8", "begin " + "x" * 1000 + " no space left on device")
    assert len(str(error)) < 500
    assert error.code == "error.pull_disk"
    assert "begin" not in str(error)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake Docker that logs its arguments, its standard input and the modes of its files."""
    log = tmp_path / "log"
    fake_program(
        tmp_path / "bin",
        "docker",
        f"""echo "$*" >>{log}
case "$*" in
*login*)
    cat >>{log}; echo >>{log}
    stat -c %a "$2" >>{log}; echo secret >"$2/config.json"; stat -c %a "$2/config.json" >>{log}
    echo "WARNING! stored unencrypted" >&2
    test ! -e {tmp_path}/refused || {{ echo "unauthorized: incorrect username" >&2; exit 1; }} ;;
*pull*) test ! -e {tmp_path}/full || {{ echo "no space left on device" >&2; exit 1; }} ;;
esac
""",
    )

    def run(command: str, *, doing: str, stdin: str | None = None) -> str:
        # The test uses its own directory instead of /run.
        here = command.replace("/run/", f"{tmp_path}/")
        done = subprocess.run(
            ["sh", "-c", here],
            input=stdin or "",
            env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        if done.returncode:
            raise CommandFailed(f"could not {doing}: {' / '.join(done.stderr.splitlines()[-3:])}")
        return done.stdout

    monkeypatch.setattr(pull, "run", run)
    monkeypatch.setattr(pull, "host", SimpleNamespace(print_prefix=""))
    return tmp_path


@pytest.fixture
def login(tmp_path: Path) -> RegistryLogin:
    file = tmp_path / "password"
    file.write_text("not-a-secret\n")
    file.chmod(0o600)
    return RegistryLogin(registry="registry.example.com", user="deploy", password_file=str(file))


def test_an_image_without_a_login_is_pulled_directly(docker: Path, login: RegistryLogin) -> None:
    pull.pull("redis:8", [login])
    assert (docker / "log").read_text() == "pull --quiet redis:8\n"


def test_a_password_is_not_an_argument_and_is_not_kept(docker: Path, login: RegistryLogin) -> None:
    image = f"registry.example.com/acme/app:1@{_DIGEST}"
    pull.pull(image, [login])
    first, password, directory, file, second = (docker / "log").read_text().split("\n")[:5]
    assert first.endswith(" login --username deploy --password-stdin registry.example.com")
    assert password == "not-a-secret"
    assert (directory, file) == ("700", "600")
    assert second.endswith(f" pull --quiet {image}")
    assert second.split()[:2] == first.split()[:2]
    assert [*docker.glob("infisical-iac-registry.*")] == []


@pytest.mark.parametrize(("what", "code"), [("refused", "login"), ("full", "disk")])
def test_a_failure_leaves_no_password_behind(
    docker: Path, login: RegistryLogin, what: str, code: str
) -> None:
    (docker / what).touch()
    with pytest.raises(UserError) as error:
        pull.pull("registry.example.com/acme/app:1", [login])
    assert error.value.code == f"error.pull_{code}"
    assert "not-a-secret" not in str(error.value)
    assert [*docker.glob("infisical-iac-registry.*")] == []


def test_a_stalled_pull_times_out(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_program(docker / "bin", "docker", "exec sleep 60")
    monkeypatch.setattr(pull, "_LIMIT", 0.2)
    with pytest.raises(UserError) as error:
        pull.pull("redis:8")
    assert error.value.code == "error.pull_unreachable"


def test_names_are_quoted_for_the_shell(login: RegistryLogin) -> None:
    evil = login.model_copy(update={"user": "x;reboot"})
    assert "'x;reboot'" in pull_command("redis:8", evil)


def _image_facts(monkeypatch: pytest.MonkeyPatch, *present: str) -> list[str]:
    """Fake an archive with only the images `present`, and return the list of pulled images."""
    pulled: list[str] = []
    monkeypatch.setattr(compose, "ask", lambda _: frozenset(present))
    monkeypatch.setattr(compose, "_load", lambda _: None)
    monkeypatch.setattr(compose, "pull", lambda image, _: pulled.append(image))
    return pulled


def test_an_image_that_no_archive_has_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = _image_facts(monkeypatch, "redis:8")
    compose.fetch(["redis:8", "postgres:17"], ImageSources(("images.tar",)))
    assert pulled == ["postgres:17"]


def test_a_digest_cannot_be_compared_with_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = _image_facts(monkeypatch, "redis:8")
    with pytest.raises(SettingsError) as error:
        compose.fetch([f"redis:8@{_DIGEST}"], ImageSources(("images.tar",)))
    assert error.value.code == "settings.archive_digest"
    assert _DIGEST in str(error.value)
    assert pulled == []


def test_an_engine_that_keeps_digests_of_archives_needs_no_pull(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """containerd's image store keeps the digests of loaded images."""
    pulled = _image_facts(monkeypatch, "redis:8", f"redis:8@{_DIGEST}")
    compose.fetch([f"redis:8@{_DIGEST}"], ImageSources(("images.tar",)))
    assert pulled == []
