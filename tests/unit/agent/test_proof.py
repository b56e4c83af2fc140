"""Test the checks that Infisical must pass after a change, on a fake host with an API."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import canary, isolation, proof, reach
from infisical_iac.agent.api import ApiClient, LoopbackClient
from infisical_iac.agent.contents import MEMORY
from infisical_iac.agent.proof_model import Before, ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.reach import Reach
from infisical_iac.agent.reading import ReadSecret
from infisical_iac.agent.runner import Failure
from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.memory import render
from tests.ports import free_port
from tests.unit.agent.loopback import serve_api
from tests.unit.agent.proof_world import NO_COLUMN, PROJECT, STOPPED, ProofHost, World, make_host
from tests.unit.fake_infisical import UNREADABLE


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep, which is skipped."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited: list[float]) -> ProofHost:
    made = make_host(tmp_path)

    def is_public(_: Any, address: PublicAddress, *, attempts: int = 1) -> bool:
        return address.is_secure and made.world.public

    monkeypatch.setattr(proof, "is_public", is_public)
    monkeypatch.setattr(proof, "answers_closed", lambda *_: made.world.closed)
    return made


@pytest.fixture
def world(host: ProofHost) -> World:
    return host.world


@pytest.fixture
def port(world: World) -> Iterator[int]:
    with serve_api(world.handle) as port:
        yield port


def _plan(url: str = "http://localhost:8080", **changes: Any) -> ProofPlan:
    address = PublicAddress(url, attempts=7)
    return replace(ProofPlan("chainalign", "privilege", address, "single"), **changes)


_ADDRESS = "https://secrets.example.com"
_PUBLIC = _plan(_ADDRESS)
_CADDY = replace(_PUBLIC, address=PublicAddress(_ADDRESS, is_ours=True, attempts=7))


class Prover:
    """The calls of a transaction on the host; what was recorded passes through its journal."""

    def __init__(self, host: ProofHost, port: int) -> None:
        self.host, self.port = host, port
        self.opened: list[str] = []

    def record(self, plan: ProofPlan | None = None, *, same_ingress: bool = True) -> Before | None:
        return proof.record_before(self.host, plan or _plan(), self.port, same_ingress=same_ingress)

    def before(self, plan: ProofPlan | None = None, *, same_ingress: bool = True) -> Before:
        found = self.record(plan, same_ingress=same_ingress)
        assert found is not None
        return Before.from_json(json.loads(json.dumps(found.to_json())))

    def check(
        self,
        then: Before | None,
        plan: ProofPlan | None = None,
        *,
        same_data: bool = True,
        closed: bool = False,
        other_version: bool = False,
    ) -> list[str]:
        return proof.check_as_before(
            self.host,
            plan or _plan(),
            then,
            port=self.port,
            same_data=same_data,
            open_edge=(lambda: self.opened.append("open")) if closed else None,
            other_version=other_version,
        )

    def usable(self, then: Before | None) -> tuple[list[str], bool]:
        return proof.check_usable(self.host, _plan(), then, self.port)


@pytest.fixture
def prover(host: ProofHost, port: int) -> Prover:
    return Prover(host, port)


@contextmanager
def _fails(code: str, match: str = "") -> Iterator[None]:
    """Assert that the context raises a Failure of this code, whose message fits."""
    with pytest.raises(RuntimeError) as failed:
        yield
    found = failed.value.args[0]
    assert isinstance(found, Failure)
    assert found.code == code
    assert re.search(match, found.message)


def _counts(sentences: list[str]) -> list[tuple[int, bool]]:
    """Return the number of read secrets in each sentence, and whether the canary was read."""
    found = [re.search(r"(\d+) secrets?( and the canary)?\.", each) for each in sentences]
    return [(int(each[1]), bool(each[2])) for each in found if each]


def test_a_version_that_works_like_the_old_one_passes(world: World, prover: Prover) -> None:
    then = prover.before(_PUBLIC)
    assert then.public
    (output,) = prover.check(then, _PUBLIC)
    assert _counts([output]) == [(1, True)]


def test_secrets_of_a_manually_renamed_project_are_read(world: World, prover: Prover) -> None:
    memory = Memory({"production": "e"}, project=PROJECT, slug="chainalign")
    prover.host.write(MEMORY, render(memory))
    assert world.project
    world.project["slug"] = "renamed"
    then = prover.before()
    assert [each.name for each in then.secrets.values()] == ["TOKEN"]
    world.write(secretValue="garbled")
    with _fails("checks.data", " TOKEN in production:/"):
        prover.check(then)


def test_an_altered_secret_fails(world: World, prover: Prover) -> None:
    then = prover.before()
    world.write(secretValue="garbled")
    with _fails("checks.data", " TOKEN in production:/"):
        prover.check(then)


def test_unreadable_secrets_fail_the_check(world: World, prover: Prover) -> None:
    then = prover.before()
    world.refused["/"] = NO_COLUMN
    with _fails("checks.data", "no such column"):
        prover.check(then)


def test_a_deployer_that_logged_in_before_must_log_in(world: World, prover: Prover) -> None:
    then = prover.before()
    world.deployer = False
    with _fails("checks.login", "credentials in .* are refused"):
        prover.check(then)


def test_a_deployer_that_could_not_log_in_before_is_not_checked(
    world: World, prover: Prover
) -> None:
    world.deployer = False
    assert prover.record() is None
    output = prover.check(None)
    (sentence,) = output
    assert "no secret was read" in sentence
    assert _counts(output) == []


def test_a_public_address_that_answered_must_answer(world: World, prover: Prover) -> None:
    then = prover.before(_PUBLIC)
    world.public = False
    with _fails("checks.public", r"https://secrets\.example\.com "):
        prover.check(then, _PUBLIC)


@pytest.mark.parametrize(
    ("closed", "public", "code"),
    [(True, True, ""), (False, True, "checks.edge"), (True, False, "checks.public")],
)
def test_an_edge_is_opened_only_after_it_answered_as_closed(
    world: World, prover: Prover, closed: bool, public: bool, code: str
) -> None:
    then = prover.before(_CADDY)
    world.closed, world.public = closed, public
    if code:
        with _fails(code, r"https://secrets\.example\.com "):
            prover.check(then, _CADDY, closed=True)
    else:
        assert _counts(prover.check(then, _CADDY, closed=True)) == [(1, True)]
    assert prover.opened == ["open"] * closed


def test_an_edge_stays_closed_if_the_secrets_cannot_be_read(world: World, prover: Prover) -> None:
    then = prover.before(_CADDY)
    world.refused["/"] = NO_COLUMN
    with _fails("checks.data"):
        prover.check(then, _CADDY, closed=True)
    assert prover.opened == []


def test_a_public_address_that_did_not_answer_before_is_not_checked(
    world: World, prover: Prover
) -> None:
    world.public = False
    output = prover.check(prover.before(_PUBLIC), _PUBLIC)
    assert output[0].startswith("https://secrets.example.com ")


def test_a_public_address_with_a_changed_ingress_is_not_checked(
    world: World,
    prover: Prover,
) -> None:
    then = prover.before(_PUBLIC, same_ingress=False)
    world.public = False
    output = prover.check(then, _PUBLIC)
    assert "https://secrets.example.com" in output[0]
    assert "ingress" in output[0]


def test_older_data_may_lack_current_secrets(world: World, prover: Prover) -> None:
    today = Before({"b": ReadSecret("production:/", "NEW", 1, "00")}, public=False)
    assert prover.check(today, same_data=False) == []


@pytest.mark.parametrize("same_data", [True, False])
def test_an_altered_canary_fails(world: World, prover: Prover, same_data: bool) -> None:
    then = prover.before()
    world.canary.write(secretValue="garbled")
    with pytest.raises(RuntimeError) as refused:
        prover.check(then, same_data=same_data)
    found = refused.value.args[0]
    assert found.code == "checks.canary"
    assert "the canary was altered" in found.message
    assert "garbled" not in found.message


def test_an_unreadable_canary_fails(world: World, prover: Prover) -> None:
    then = prover.before()
    world.canary.refused["/"] = UNREADABLE
    with _fails("checks.canary", "unable to authenticate data"):
        prover.check(then)


def test_a_missing_canary_fails(world: World, prover: Prover) -> None:
    then = prover.before()
    world.others.clear()
    with _fails("checks.canary", r"canary, .* is gone"):
        prover.check(then)


def test_data_without_a_canary_pass_with_a_note(world: World, prover: Prover) -> None:
    world.others.clear()
    assert prover.check(prover.before()) == [canary.NONE, "Read as before: 1 secret."]
    assert prover.check(prover.before(), same_data=False) == [canary.NONE]


def test_older_data_may_have_no_canary(world: World, prover: Prover) -> None:
    then = prover.before()
    world.others.clear()
    output = prover.check(then, same_data=False)
    assert output == [canary.NONE]


def test_a_change_is_refused_if_the_canary_fails_before_it(world: World, prover: Prover) -> None:
    proof.refuse_undecryptable(prover.host, prover.port)
    world.canary.write(secretValue="garbled")
    with _fails("checks.canary", "the canary was altered"):
        proof.refuse_undecryptable(prover.host, prover.port)
    world.deployer = False
    # A change may repair an instance that does not work.
    proof.refuse_undecryptable(prover.host, prover.port)
    proof.refuse_undecryptable(prover.host, free_port())


def test_a_large_project_has_time_to_be_read(
    prover: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: dict[str, float] = {}
    send = LoopbackClient._send

    def note(client: LoopbackClient, method: str, target: str, body: Any = None) -> Any:
        if "/secrets?" in target:
            waits[target.partition("projectId=")[2].partition("&")[0]] = client.seconds
        return send(client, method, target, body)

    monkeypatch.setattr(LoopbackClient, "_send", note)
    prover.before()
    assert waits == {PROJECT: 600.0, "canary": 30.0}


def test_a_deleted_secret_passes_and_is_reported(world: World, prover: Prover) -> None:
    _, lost, _ = world.add("production", 3)
    then = prover.before()
    world.lose(lost)
    output = prover.check(then)
    deleted, read = output
    assert "KEY_1 in production:/" in deleted
    assert _counts([read]) == [(3, True)]


def test_a_renamed_secret_passes(world: World, prover: Prover) -> None:
    (renamed,) = world.add("production", 1)
    then = prover.before()
    renamed.update(secretKey="RENAMED", version=2)
    output = prover.check(then)
    assert len(output) == 1
    assert _counts(output) == [(2, True)]
    assert prover.host.asked == []


def test_a_secret_in_the_database_that_cannot_be_read_fails(world: World, prover: Prover) -> None:
    _, hidden, _ = world.add("production", 3)
    then = prover.before()
    world.hidden.add(hidden["id"])
    with _fails("checks.data", " KEY_1 in production:/"):
        prover.check(then)


def test_an_environment_that_reads_empty_fails(world: World, prover: Prover) -> None:
    (hidden,) = world.add("staging", 1)
    then = prover.before()
    world.hidden.add(hidden["id"])
    with _fails("checks.data", " KEY_0 in staging:/"):
        prover.check(then)


def test_an_environment_without_any_row_fails(world: World, prover: Prover) -> None:
    """A migration may delete all secrets; people do not do this during a change of version."""
    gone = world.add("staging", 2)
    then = prover.before()
    world.lose(*gone)
    with _fails("checks.deleted", r"2 of 3 .* KEY_0 in staging:/"):
        prover.check(then)


@pytest.mark.parametrize(("there", "gone", "passes"), [(20, 5, True), (20, 6, False)])
def test_too_many_deletions_fail(
    world: World, prover: Prover, there: int, gone: int, passes: bool
) -> None:
    added = world.add("production", there)
    then = prover.before()
    world.lose(*added[:gone])
    if passes:
        assert prover.check(then)
        return
    with _fails("checks.deleted", "6 of 21 "):
        prover.check(then)


def test_a_deleted_environment_keeps_its_rows_and_passes(world: World, prover: Prover) -> None:
    world.add("staging", 1)
    then = prover.before()
    world.delete_environment("staging")
    output = prover.check(then)
    assert "KEY_0 in staging:/" in output[0]


def test_a_missing_secret_fails_if_the_database_cannot_be_queried(
    world: World, prover: Prover
) -> None:
    (lost,) = world.add("production", 1)
    then = prover.before()
    world.lose(lost)
    world.database_runs = False
    with _fails("command.database", STOPPED):
        prover.check(then)


@pytest.mark.parametrize("topology", ["single", "swarm"])
def test_the_serving_database_is_queried_while_a_host_has_two(
    world: World, prover: Prover, topology: str
) -> None:
    plan = _plan(topology=topology)
    (lost,) = world.add("production", 1)
    then = prover.before(plan)
    world.lose(lost)
    prover.check(then, plan)
    assert prover.host.asked == [f"{topology}-db"]


def test_data_that_the_old_version_reads_are_usable(
    world: World, prover: Prover, waited: list[float]
) -> None:
    assert prover.usable(prover.before()) == ([], False)
    assert prover.usable(None) == ([], False)
    assert waited == []


def test_any_number_of_deletions_leaves_the_data_usable(world: World, prover: Prover) -> None:
    gone = world.add("staging", 30)
    then = prover.before()
    world.lose(*gone)
    output = (
        "deleted since: KEY_0 in staging:/, KEY_1 in staging:/, KEY_10 in staging:/ and 27 more"
    )
    assert prover.usable(then) == ([output], True)


def _garble(world: World) -> None:
    world.write(secretValue="garbled")


def _hide(world: World) -> None:
    world.hidden.add(world.secret["id"])


def _break(world: World) -> None:
    world.refused["/"] = NO_COLUMN


def _seal(world: World) -> None:
    world.canary.refused["/"] = UNREADABLE


@pytest.mark.parametrize("damage", [_garble, _hide, _break, _seal])
def test_data_that_fail_to_be_read_repeatedly_are_unusable(
    world: World, prover: Prover, waited: list[float], damage: Callable[[World], None]
) -> None:
    then = prover.before()
    damage(world)
    with pytest.raises(RuntimeError) as failed:
        prover.usable(then)
    assert failed.value.args[0].code == "checks.data"
    assert "can't be read" in failed.value.args[0].message
    assert waited == [10, 10]


def test_data_that_can_be_read_after_a_retry_are_usable(
    world: World, prover: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = prover.before()
    world.refused["/"] = NO_COLUMN
    monkeypatch.setattr(time, "sleep", lambda _: world.refused.clear())
    assert prover.usable(then) == ([], False)


def test_a_silent_database_does_not_make_data_unusable(world: World, prover: Prover) -> None:
    then = prover.before()
    world.refused["/"] = NO_COLUMN
    world.database_runs = False
    with _fails("command.database", STOPPED):
        prover.usable(then)


def test_a_refused_login_does_not_make_data_unusable(world: World, prover: Prover) -> None:
    """A deployer may be locked out for some minutes."""
    then = prover.before()
    world.deployer = False
    (output,), are_gone = prover.usable(then)
    assert "ada@example.com" in output
    assert not are_gone
    world.administrator = True
    assert prover.usable(then) == ([], False)


@pytest.mark.parametrize(
    ("text", "change"), [(None, "the canary is gone"), ("edited", "the canary was altered")]
)
def test_a_changed_canary_is_reported(
    world: World, prover: Prover, text: str | None, change: str
) -> None:
    then = prover.before()
    if text:
        world.canary.write(secretValue=text)
    else:
        world.others.clear()
    (output,), deleted = prover.usable(then)
    assert output.startswith(change)
    assert not deleted


def test_a_silent_public_address_does_not_make_data_unusable(world: World, prover: Prover) -> None:
    then = prover.before(_PUBLIC)
    world.public = False
    assert prover.usable(then) == ([], False)


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the kinds of isolation that were tested, in order."""
    asked: list[str] = []

    def prove(client: ApiClient, kind: str) -> str:
        asked.append(kind)
        return "proven"

    monkeypatch.setattr(isolation, "prove", prove)
    return asked


@pytest.mark.parametrize("kind", ["privilege", "viewer"])
def test_another_version_must_prove_that_it_isolates_services(
    prover: Prover, proofs: list[str], kind: str
) -> None:
    plan = _plan(isolation=kind)
    then = prover.before(plan)
    output = prover.check(then, plan, other_version=True)
    assert proofs == [kind]
    assert output[1:] == ["proven", reach.NONE]
    prover.check(then, plan, same_data=False, other_version=True)
    assert proofs == [kind, kind], "older data are not served unproven either"


def test_the_isolation_to_which_the_first_deploy_fell_back_is_proven(
    prover: Prover, proofs: list[str]
) -> None:
    prover.host.write(MEMORY, render(Memory(fell_back=True)))
    for kind in ("privilege", "viewer"):
        proof.prove_isolation(prover.host, _plan(isolation=kind), prover.port)
    assert proofs == ["projects", "viewer"]


def test_the_same_version_need_not_prove_isolation_again(prover: Prover, proofs: list[str]) -> None:
    output = prover.check(prover.before())
    assert len(output) == 1
    assert _counts(output) == [(1, True)]
    assert proofs == []


def test_the_administrator_proves_isolation_if_the_deployer_cannot_log_in(
    world: World, prover: Prover, proofs: list[str]
) -> None:
    world.deployer, world.administrator = False, True
    output = prover.check(None, other_version=True)
    assert (proofs, output[1:]) == (["privilege"], ["proven"])


@pytest.mark.parametrize("is_initialized", [True, False])
def test_a_version_without_any_login_is_accepted_only_before_the_setup(
    world: World, prover: Prover, proofs: list[str], is_initialized: bool
) -> None:
    world.deployer = False
    world.config["initialized"] = is_initialized
    if is_initialized:
        with _fails("checks.isolation"):
            proof.prove_isolation(prover.host, _plan(), prover.port)
    else:
        assert proof.prove_isolation(prover.host, _plan(), prover.port)
    assert proofs == []


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (Failure("checks.isolation", "it does not"), "checks.isolation", "^it does not$"),
        (Failure("api", "no project"), "checks.isolation", ": no project$"),
    ],
)
def test_a_version_without_a_proof_is_rejected_before_the_edge_opens(
    prover: Prover, monkeypatch: pytest.MonkeyPatch, failure: Failure, code: str, reason: str
) -> None:
    def prove(client: ApiClient, kind: str) -> str:
        raise RuntimeError(failure)

    monkeypatch.setattr(isolation, "prove", prove)
    then = prover.before()
    with _fails(code, reason):
        prover.check(then, closed=True, other_version=True)
    assert prover.opened == []


def test_what_is_recorded_has_neither_values_nor_credentials(world: World, prover: Prover) -> None:
    world.write(secretValue="obviously-fake-value")
    first, second = (prover.before() for _ in range(2))
    text = json.dumps(first.to_json())
    assert [each for each in ("obviously-fake", "token") if each in text] == []
    (one,), (other,) = first.secrets.values(), second.secrets.values()
    assert one.digest != other.digest, "digests have a key, so that values can't be guessed"
    assert prover.check(first) == prover.check(second)
    assert first.key not in repr(first)


def test_credentials_that_are_gone_or_refused_after_the_change_fail(
    prover: Prover,
) -> None:
    then = replace(prover.before(), reach=Reach("backend.production", {"v4": frozenset()}))
    with _fails("checks.reach", "backend.production"):
        prover.check(then)
    text = "INFISICAL_CLIENT_ID=unknown\nINFISICAL_CLIENT_SECRET=obviously-fake\n"
    prover.host.write(f"{reach.CREDENTIALS}/backend.production.env", text)
    with _fails("checks.reach", "Invalid credentials"):
        prover.check(then)
    assert prover.before().reach is None
