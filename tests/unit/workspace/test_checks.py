"""Test the checks that a new version must pass before it is kept."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from infisical_iac.api import instance
from infisical_iac.api.client import Client
from infisical_iac.core.errors import CheckFailed, CommandFailed, NotBootstrapped, UserError
from infisical_iac.core.settings import Settings, load
from infisical_iac.stack import edge, session
from infisical_iac.workspace import canary, checks, isolation, reading, reconcile
from infisical_iac.workspace.checks import Before, check_as_before, check_usable
from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.memory import render
from infisical_iac.workspace.reading import ReadSecret
from tests.unit.fake_infisical import UNREADABLE, FakeInfisical
from tests.unit.fake_state import Json, Refused
from tests.unit.settings_of import defaults

_PORT, _PROJECT = 8080, "1"
_NO_COLUMN = Refused(400, "BadRequest", "no such column")
# The answer of a host whose database has stopped.
_STOPPED = "the database does not run"


class World(FakeInfisical):
    """A server with a canary and one secret, and an address that answers or does not."""

    shows_values = True

    def __init__(self) -> None:
        super().__init__()
        self.project = {"id": _PROJECT, "slug": "chainalign"}
        self.canary = self.add_canary()
        self.add_environment("production")
        (self.secret,) = self.store("production", "/", "TOKEN")
        self.database_runs = True
        self.administrator = False
        self.asked: list[str] = []
        self.waited: list[float] = []
        self.deployer = True
        self.public = True
        self.memory = ""

    def add(self, environment: str, number: int) -> list[Json]:
        """Store further secrets, and make their environment if there is none of the name."""
        if environment not in {each["slug"] for each in self.environments}:
            self.add_environment(environment)
        return self.store(environment, "/", *(f"KEY_{each}" for each in range(number)))

    def lose(self, *lost: Json) -> None:
        """Delete secrets from the database."""
        for place, secrets in self.stored.items():
            self.stored[place] = [each for each in secrets if each not in lost]

    def log_in(self, port: int) -> Client:
        """Return the client of the deployer, if it can log in."""
        if not self.deployer:
            raise NotBootstrapped("the credentials are refused")
        return self.client()

    def person(self, port: int) -> Client:
        """Return the client of the administrator, if it can log in."""
        if not self.administrator:
            raise NotBootstrapped("the password is refused")
        return self.client()

    def files(self, command: str, *, doing: str) -> str:
        """Return no files, because no service has credentials on the host."""
        return ""

    def run(self, command: str, *, doing: str, stdin: str | None = None) -> str:
        """Answer the host's curl and its database."""
        if "releases.sh" in command:
            self.asked.append(command)
            if not self.database_runs:
                raise CommandFailed(f"could not {doing}: {_STOPPED}")
            rows = {each["id"] for secrets in self.stored.values() for each in secrets}
            return "\n".join(rows & {*(stdin or "").split()})
        if not self.public:
            raise CommandFailed(f"could not {doing}")
        return ""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(session, "works", lambda port: made.deployer)
    monkeypatch.setattr(session, "deployer", made.log_in)
    monkeypatch.setattr(session, "administrator", made.person)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(time, "sleep", made.waited.append)
    monkeypatch.setattr(checks, "run", made.run)
    monkeypatch.setattr(reading, "run", made.files)
    monkeypatch.setattr(reconcile, "read_text", lambda path: made.memory)
    monkeypatch.setattr(edge, "run", made.run)
    monkeypatch.setattr(edge, "_certificates", lambda: "")
    return made


def _settings(**changes: Any) -> Settings:
    return load(defaults(**changes))


_PUBLIC = _settings(site_url="https://secrets.example.com")


def _before(settings: Settings) -> Before:
    found = checks.record_before(settings, "chainalign", _PORT)
    assert found is not None
    return found


def _counts(sentences: list[str]) -> list[tuple[int, bool]]:
    """Return the number of read secrets in each sentence, and whether the canary was read."""
    found = [re.search(r"(\d+) secrets?( and the canary)?\.", each) for each in sentences]
    return [(int(each[1]), bool(each[2])) for each in found if each]


def test_a_version_that_works_like_the_old_one_passes(world: World) -> None:
    then = _before(_PUBLIC)
    assert then.public
    (output,) = check_as_before(_PUBLIC, "chainalign", then, port=_PORT, same_data=True)
    assert _counts([output]) == [(1, True)]


def test_secrets_of_a_manually_renamed_project_are_read(world: World) -> None:
    world.memory = render(Memory({"production": "e"}, project=_PROJECT, slug="chainalign"))
    assert world.project
    world.project["slug"] = "renamed"
    then = _before(_settings())
    assert [each.name for each in then.secrets.values()] == ["TOKEN"]
    world.write(secretValue="garbled")
    with pytest.raises(CheckFailed, match=" TOKEN in production:/") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.data"


def test_an_altered_secret_fails(world: World) -> None:
    then = _before(_settings())
    world.write(secretValue="garbled")
    with pytest.raises(CheckFailed, match=" TOKEN in production:/") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.data"


def test_unreadable_secrets_fail_the_check(world: World) -> None:
    then = _before(_settings())
    world.refused["/"] = _NO_COLUMN
    with pytest.raises(CheckFailed, match="no such column") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.data"


def test_a_deployer_that_logged_in_before_must_log_in(world: World) -> None:
    then = _before(_settings())
    world.deployer = False
    with pytest.raises(CheckFailed, match="the credentials are refused") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.login"


def test_a_deployer_that_could_not_log_in_before_is_not_checked(world: World) -> None:
    world.deployer = False
    assert checks.record_before(_settings(), "chainalign", _PORT) is None
    output = check_as_before(_settings(), "chainalign", None, port=_PORT, same_data=True)
    (sentence,) = output
    assert "no secret was read" in sentence
    assert _counts(output) == []


def test_a_public_address_that_answered_must_answer(world: World) -> None:
    then = _before(_PUBLIC)
    world.public = False
    with pytest.raises(CheckFailed, match=r"https://secrets\.example\.com ") as failed:
        check_as_before(_PUBLIC, "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.public"


_CADDY = _settings(site_url="https://secrets.example.com", ingress="caddy")


@pytest.mark.parametrize(
    ("closed", "public", "code"),
    [(True, True, ""), (False, True, "checks.edge"), (True, False, "checks.public")],
)
def test_an_edge_is_opened_only_after_it_answered_as_closed(
    world: World, monkeypatch: pytest.MonkeyPatch, closed: bool, public: bool, code: str
) -> None:
    then = _before(_CADDY)
    opened: list[bool] = []
    monkeypatch.setattr(edge, "answers_closed", lambda *_: closed)
    world.public = public

    def check() -> list[str]:
        return check_as_before(
            *(_CADDY, "chainalign", then),
            port=_PORT,
            same_data=True,
            open_edge=lambda: opened.append(True),
        )

    if code:
        with pytest.raises(CheckFailed, match=r"https://secrets\.example\.com ") as failed:
            check()
        assert failed.value.code == code
    else:
        assert _counts(check()) == [(1, True)]
    assert opened == [True] * closed


def test_an_edge_stays_closed_if_the_secrets_cannot_be_read(world: World) -> None:
    then, opened = _before(_CADDY), []
    world.refused["/"] = _NO_COLUMN
    with pytest.raises(CheckFailed) as failed:
        check_as_before(
            *(_CADDY, "chainalign", then),
            port=_PORT,
            same_data=True,
            open_edge=lambda: opened.append(True),
        )
    assert failed.value.code == "checks.data"
    assert opened == []


def test_a_public_address_that_did_not_answer_before_is_not_checked(world: World) -> None:
    world.public = False
    output = check_as_before(_PUBLIC, "chainalign", _before(_PUBLIC), port=_PORT, same_data=True)
    assert output[0].startswith("https://secrets.example.com ")


def test_a_public_address_with_a_changed_ingress_is_not_checked(
    world: World,
) -> None:
    then = checks.record_before(_PUBLIC, "chainalign", _PORT, same_ingress=False)
    world.public = False
    output = check_as_before(_PUBLIC, "chainalign", then, port=_PORT, same_data=True)
    assert "https://secrets.example.com" in output[0]
    assert "ingress" in output[0]


def test_older_data_may_lack_current_secrets(world: World) -> None:
    today = Before({"b": ReadSecret("production:/", "NEW", 1, "00")}, public=False)
    assert check_as_before(_settings(), "chainalign", today, port=_PORT, same_data=False) == []


def _check(*, same_data: bool = True) -> list[str]:
    return check_as_before(
        _settings(), "chainalign", _before(_settings()), port=_PORT, same_data=same_data
    )


@pytest.mark.parametrize("same_data", [True, False])
def test_an_altered_canary_fails(world: World, same_data: bool) -> None:
    then = _before(_settings())
    world.canary.write(secretValue="garbled")
    with pytest.raises(CheckFailed, match="the canary was altered") as refused:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=same_data)
    assert refused.value.code == canary.CODE
    assert "garbled" not in str(refused.value)


def test_an_unreadable_canary_fails(world: World) -> None:
    then = _before(_settings())
    world.canary.refused["/"] = UNREADABLE
    with pytest.raises(CheckFailed, match="unable to authenticate data") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == canary.CODE


def test_a_missing_canary_fails(world: World) -> None:
    then = _before(_settings())
    world.others.clear()
    with pytest.raises(CheckFailed, match=r"canary, .* is gone") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == canary.CODE


def test_data_without_a_canary_pass_with_a_note(world: World) -> None:
    world.others.clear()
    assert _check() == [canary.NONE, "Read as before: 1 secret."]
    assert _check(same_data=False) == [canary.NONE]


def test_older_data_may_have_no_canary(world: World) -> None:
    then = _before(_settings())
    world.others.clear()
    output = check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=False)
    assert output == [canary.NONE]


def test_a_change_is_refused_if_the_canary_fails_before_it(world: World) -> None:
    checks.refuse_undecryptable(_PORT)
    world.canary.write(secretValue="garbled")
    with pytest.raises(CheckFailed, match="the canary was altered"):
        checks.refuse_undecryptable(_PORT)
    world.deployer = False
    checks.refuse_undecryptable(_PORT)  # A change may repair an instance that does not work.


def test_a_large_project_has_time_to_be_read(world: World) -> None:
    _before(_settings())
    assert (world.patience, world.canary.patience) == ({600.0}, {30.0})


def test_a_deleted_secret_passes_and_is_reported(world: World) -> None:
    _, lost, _ = world.add("production", 3)
    then = _before(_settings())
    world.lose(lost)
    output = check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    deleted, read = output
    assert "KEY_1 in production:/" in deleted
    assert _counts([read]) == [(3, True)]


def test_a_renamed_secret_passes(world: World) -> None:
    (renamed,) = world.add("production", 1)
    then = _before(_settings())
    renamed.update(secretKey="RENAMED", version=2)
    output = check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert len(output) == 1
    assert _counts(output) == [(2, True)]
    assert world.asked == []


def test_a_secret_in_the_database_that_cannot_be_read_fails(world: World) -> None:
    _, hidden, _ = world.add("production", 3)
    then = _before(_settings())
    world.hidden.add(hidden["id"])
    with pytest.raises(CheckFailed, match=" KEY_1 in production:/") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.data"


def test_an_environment_that_reads_empty_fails(world: World) -> None:
    (hidden,) = world.add("staging", 1)
    then = _before(_settings())
    world.hidden.add(hidden["id"])
    with pytest.raises(CheckFailed, match=" KEY_0 in staging:/") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.data"


def test_an_environment_without_any_row_fails(world: World) -> None:
    """A migration may delete all secrets; people do not do this during a change of version."""
    gone = world.add("staging", 2)
    then = _before(_settings())
    world.lose(*gone)
    with pytest.raises(CheckFailed, match=r"2 of 3 .* KEY_0 in staging:/") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.deleted"


@pytest.mark.parametrize(("there", "gone", "passes"), [(20, 5, True), (20, 6, False)])
def test_too_many_deletions_fail(world: World, there: int, gone: int, passes: bool) -> None:
    added = world.add("production", there)
    then = _before(_settings())
    world.lose(*added[:gone])
    if passes:
        assert check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
        return
    with pytest.raises(CheckFailed, match="6 of 21 ") as failed:
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert failed.value.code == "checks.deleted"


def test_a_deleted_environment_keeps_its_rows_and_passes(world: World) -> None:
    world.add("staging", 1)
    then = _before(_settings())
    world.delete_environment("staging")
    output = check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)
    assert "KEY_0 in staging:/" in output[0]


def test_a_missing_secret_fails_if_the_database_cannot_be_queried(world: World) -> None:
    (lost,) = world.add("production", 1)
    then = _before(_settings())
    world.lose(lost)
    world.database_runs = False
    with pytest.raises(CommandFailed, match=_STOPPED):
        check_as_before(_settings(), "chainalign", then, port=_PORT, same_data=True)


@pytest.mark.parametrize("topology", ["single", "swarm"])
def test_the_serving_database_is_queried_while_a_host_has_two(world: World, topology: str) -> None:
    settings = _settings(topology=topology)
    (lost,) = world.add("production", 1)
    then = _before(settings)
    world.lose(lost)
    check_as_before(settings, "chainalign", then, port=_PORT, same_data=True)
    assert [each.split()[0] for each in world.asked] == [f"TOPOLOGY={topology}"]


def _check_usable(then: Before | None) -> tuple[list[str], bool]:
    return check_usable(_settings(), "chainalign", then, port=_PORT)


def test_data_that_the_old_version_reads_are_usable(world: World) -> None:
    assert _check_usable(_before(_settings())) == ([], False)
    assert _check_usable(None) == ([], False)
    assert world.waited == []


def test_any_number_of_deletions_leaves_the_data_usable(world: World) -> None:
    gone = world.add("staging", 30)
    then = _before(_settings())
    world.lose(*gone)
    output = (
        "deleted since: KEY_0 in staging:/, KEY_1 in staging:/, KEY_10 in staging:/ and 27 more"
    )
    assert _check_usable(then) == ([output], True)


def _garble(world: World) -> None:
    world.write(secretValue="garbled")


def _hide(world: World) -> None:
    world.hidden.add(world.secret["id"])


def _break(world: World) -> None:
    world.refused["/"] = _NO_COLUMN


def _seal(world: World) -> None:
    world.canary.refused["/"] = UNREADABLE


@pytest.mark.parametrize("damage", [_garble, _hide, _break, _seal])
def test_data_that_fail_to_be_read_repeatedly_are_unusable(
    world: World, damage: Callable[[World], None]
) -> None:
    then = _before(_settings())
    damage(world)
    with pytest.raises(CheckFailed, match="can't be read"):
        _check_usable(then)
    assert world.waited == [10, 10]


def test_data_that_can_be_read_after_a_retry_are_usable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = _before(_settings())
    world.refused["/"] = _NO_COLUMN
    monkeypatch.setattr(time, "sleep", lambda _: world.refused.clear())
    assert _check_usable(then) == ([], False)


def test_a_silent_database_does_not_make_data_unusable(world: World) -> None:
    then = _before(_settings())
    world.refused["/"] = _NO_COLUMN
    world.database_runs = False
    with pytest.raises(CommandFailed, match=_STOPPED):
        _check_usable(then)


def test_a_refused_login_does_not_make_data_unusable(world: World) -> None:
    """A deployer may be locked out for some minutes."""
    then = _before(_settings())
    world.deployer = False
    (output,), are_gone = _check_usable(then)
    assert "the password is refused" in output
    assert not are_gone
    world.administrator = True
    assert _check_usable(then) == ([], False)


@pytest.mark.parametrize(
    ("text", "change"), [(None, "the canary is gone"), ("edited", "the canary was altered")]
)
def test_a_changed_canary_is_reported(world: World, text: str | None, change: str) -> None:
    then = _before(_settings())
    if text:
        world.canary.write(secretValue=text)
    else:
        world.others.clear()
    (output,), deleted = _check_usable(then)
    assert output.startswith(change)
    assert not deleted


def test_a_silent_public_address_does_not_make_data_unusable(world: World) -> None:
    then = _before(_PUBLIC)
    world.public = False
    assert _check_usable(then) == ([], False)


@pytest.fixture
def proofs(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the kinds of isolation that were tested, in order."""
    asked: list[str] = []

    def prove(client: Client, kind: str) -> str:
        asked.append(kind)
        return "proven"

    monkeypatch.setattr(isolation, "prove", prove)
    return asked


@pytest.mark.parametrize("kind", ["privilege", "viewer"])
def test_another_version_must_prove_that_it_isolates_services(proofs: list[str], kind: str) -> None:
    settings = _settings(isolation=kind)
    then = _before(settings)
    output = check_as_before(
        settings, "chainalign", then, port=_PORT, same_data=True, other_version=True
    )
    assert proofs == [kind]
    assert output[1:] == ["proven", reading.NONE]
    check_as_before(settings, "chainalign", then, port=_PORT, same_data=False, other_version=True)
    assert proofs == [kind, kind], "older data are not served unproven either"


def test_the_same_version_need_not_prove_isolation_again(proofs: list[str]) -> None:
    output = _check()
    assert len(output) == 1
    assert _counts(output) == [(1, True)]
    assert proofs == []


def test_the_administrator_proves_isolation_if_the_deployer_cannot_log_in(
    world: World, proofs: list[str]
) -> None:
    world.deployer, world.administrator = False, True
    output = check_as_before(
        _settings(), "chainalign", None, port=_PORT, same_data=True, other_version=True
    )
    assert (proofs, output[1:]) == (["privilege"], ["proven"])


@pytest.mark.parametrize("is_initialized", [True, False])
def test_a_version_without_any_login_is_accepted_only_before_the_setup(
    world: World, monkeypatch: pytest.MonkeyPatch, proofs: list[str], is_initialized: bool
) -> None:
    world.deployer = False
    monkeypatch.setattr(session, "api", lambda _: world.client())
    monkeypatch.setattr(checks, "is_initialized", lambda _: is_initialized)
    if is_initialized:
        with pytest.raises(CheckFailed) as failed:
            checks.prove_isolation(_settings(), _PORT)
        assert failed.value.code == "checks.isolation"
    else:
        assert checks.prove_isolation(_settings(), _PORT)
    assert proofs == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (CheckFailed("it does not"), "checks", "^it does not$"),
        (UserError("no project"), "checks.isolation", ": no project$"),
    ],
)
def test_a_version_without_a_proof_is_rejected_before_the_edge_opens(
    world: World, monkeypatch: pytest.MonkeyPatch, error: UserError, code: str, reason: str
) -> None:
    def prove(client: Client, kind: str) -> str:
        raise error

    monkeypatch.setattr(isolation, "prove", prove)
    opened: list[str] = []
    with pytest.raises(CheckFailed, match=reason) as failed:
        check_as_before(
            _settings(),
            "chainalign",
            _before(_settings()),
            port=_PORT,
            same_data=True,
            open_edge=lambda: opened.append("open"),
            other_version=True,
        )
    assert failed.value.code == code
    assert opened == []
