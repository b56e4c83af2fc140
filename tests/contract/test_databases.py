"""Test that databases of a cluster are exchanged, killed at each call, on a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import cluster_upgrade, databases, kept_release, rollout, snapshot
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.data import NEXT_TRANSACTION
from infisical_iac.agent.database import find_database, list_databases_given_up
from infisical_iac.agent.journal import StepContext, TransactionJournal
from infisical_iac.agent.releases import RELEASES
from infisical_iac.agent.runner import Output, Runner
from tests.unit.agent.fake_runner import docker_container
from tests.unit.agent.killed import Killed

from .secret_databases import SecretDatabases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .postgres import Postgres

_STAMP = "20261125T101112Z"
_RELEASE, _IMAGE = f"{_STAMP}-v0.165.16", "infisical/infisical:v0.165.16"
_OLD = "infisical_before_20261125t101112z"
_GIVEN_UP = "infisical_given_up_20261125t101112z"
_NEW = "infisical_restoring"
_SINCE = "2026-11-25T10:11:12Z"
_CLOSED = "SELECT datname FROM pg_database WHERE datname ~ '^infisical' AND NOT datallowconn"


@dataclass(frozen=True)
class _Leader(Runner):
    """A leader whose container of PostgreSQL is a server on this machine.

    Attributes:
        dies_at: the number of the call of psql at which the agent is killed.
    """

    port: int = 0
    dies_at: list[int] = field(default_factory=lambda: [0])

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 60,
        environment: Mapping[str, str] = {},
    ) -> Output:
        match words[1]:
            case "ps":
                return Output(0, "aa\n")
            case "inspect":
                container = docker_container("aa", swarm="infisical_postgres-1")
                return Output(0, json.dumps(container))
            case "info":
                return Output(0, "/\n")
            case "service":
                return Output(0, f"{_IMAGE}\n")
        if "psql" not in words:
            return Output(0, "")  # no primary is known
        self.dies_at[0] -= 1
        if self.dies_at[0] == 0:
            # Some deaths are before the call, and others after it.
            if len(stdin) % 3:
                super().run(self._localize(words), stdin=stdin, seconds=seconds)
            raise Killed
        return super().run(self._localize(words), stdin=stdin, seconds=seconds)

    def load(
        self, words: Sequence[str], source: Path, *, begin: str = "", seconds: float = 60
    ) -> Output:
        return super().load(self._localize(words), source, begin=begin, seconds=seconds)

    def _localize(self, words: Sequence[str]) -> list[str]:
        return [
            *("env", "PGHOST=127.0.0.1", f"PGPORT={self.port}"),
            *words[words.index("aa") + 1 :],
        ]


class _Cluster(SecretDatabases):
    """Databases, and a leader that exchanges them."""

    made_at = "timestamptz '2026-11-25T09:00:00Z'"
    written_at = "timestamptz '2026-11-25T11:00:00Z'"

    def __init__(self, directory: Path, postgres: Postgres) -> None:
        super().__init__(postgres)
        self.host = _Leader(directory, port=postgres.port)
        keys = directory / "etc/infisical/keys"
        keys.mkdir(parents=True)
        (keys / "postgres_password").write_text("obviously-fake")
        self.journal = TransactionJournal("cluster_upgrade", _STAMP)
        self.clear()

    def clear(self) -> None:
        """Remove the leftovers of a test."""
        self.drop_all()
        log = [("2026-11-25T10:12:00Z", "forward", cluster_upgrade._SWAP)]
        self.journal = TransactionJournal("cluster_upgrade", _STAMP, log=log)  # type: ignore[arg-type]

    @property
    def work(self) -> StepContext:
        """The context of the steps; a new one reads the journal as the next run does."""
        plan = {"release": _RELEASE, "data": "x", "image": _IMAGE, "port": 1}
        plan |= {"old_stack": "", "old_part": "", "roll_seconds": 1}
        return StepContext(self.host, kept_release.DIRECTORY, plan, self.journal)

    def swap(self, **kept: str) -> None:
        """Make two exchanged databases; the new one has a later write."""
        self.clear()
        self.make(_OLD, "old")
        self.make("infisical", "new")
        self.write("infisical", "acknowledged")
        self.journal.kept.update(kept)

    def dies(self, begin: Callable[[], None], act: Callable[[StepContext], None]) -> Iterator[int]:
        """Kill the agent at each of its calls in turn, and yield the number of the call."""
        for number in count(1):
            begin()
            self.host.dies_at[0] = number
            try:
                act(self.work)
            except Killed:
                self.host.dies_at[0] = 0
                yield number
            else:
                self.host.dies_at[0] = 0
                return


@pytest.fixture
def cluster(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[_Cluster]:
    monkeypatch.setattr(rollout, "stop_replicas", lambda _: None)
    monkeypatch.setattr(databases, "empty_redis", lambda _: None)
    monkeypatch.setattr(databases, "check_standby", lambda _: None)
    made = _Cluster(tmp_path, postgres)
    yield made
    made.clear()


_BACK = cluster_upgrade._put_back
_BOTH = {"infisical": ["old"], _GIVEN_UP: ["acknowledged", "new"]}


def test_a_rollback_keeps_later_writes_in_a_named_database(cluster: _Cluster) -> None:
    cluster.swap()
    for _ in range(2):
        _BACK(cluster.work)
        (found,) = list_databases_given_up(find_database(cluster.host, "swarm"), _STAMP)
        assert (found.name, found.since, found.writes) == (_GIVEN_UP, "2026-11-25T10:12:00Z", 1)
        assert found.images == (_IMAGE,)
        assert cluster.journal.kept["given_up"] == [asdict(found)]
        assert cluster.secrets() == _BOTH


def test_a_primary_whose_clock_is_behind_hides_no_write(cluster: _Cluster) -> None:
    """The time of the exchange is that of the leader, whose clock is a day ahead here."""
    cluster.swap()
    transaction = cluster.sql("infisical", NEXT_TRANSACTION)
    cluster.write("infisical", "late")
    cluster.journal.kept.update(swapped="2026-11-26T10:12:00Z", loaded=transaction)
    _BACK(cluster.work)
    assert cluster.journal.kept["given_up"][0]["writes"] == 1


def test_a_rollback_killed_anywhere_loses_nothing_and_is_completed(cluster: _Cluster) -> None:
    deaths = 0
    for death in cluster.dies(cluster.swap, _BACK):
        deaths += 1
        _BACK(cluster.work)
        assert cluster.secrets() == _BOTH, death
        assert cluster.journal.kept["given_up"][0]["name"] == _GIVEN_UP
        assert cluster.sql("postgres", _CLOSED) == "", death
    assert deaths >= 9


def test_an_open_transaction_does_not_block_a_rollback(cluster: _Cluster) -> None:
    cluster.swap()
    writer = subprocess.Popen(
        ["psql", "-X", cluster.postgres.uri("infisical")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert writer.stdin
    assert writer.stdout
    insert = "INSERT INTO secrets_v2 (key) VALUES ('unacknowledged')"
    writer.stdin.write(f"BEGIN; {insert};\n\\echo x\n")
    writer.stdin.flush()
    while writer.stdout.readline().strip() != "x":
        pass
    _BACK(cluster.work)
    writer.communicate()
    assert cluster.secrets() == _BOTH


def test_a_second_rollback_keeps_a_second_database(cluster: _Cluster) -> None:
    cluster.swap()
    _BACK(cluster.work)
    cluster.sql("postgres", f"ALTER DATABASE infisical RENAME TO {_OLD}")
    cluster.make("infisical", "again")
    _BACK(cluster.work)
    assert len(cluster.journal.kept["given_up"]) == 2
    assert cluster.secrets() == {**_BOTH, f"{_GIVEN_UP}_2": ["again"]}


def test_a_rollback_begun_by_an_earlier_release_is_completed(cluster: _Cluster) -> None:
    cluster.make(_OLD, "old")
    _BACK(cluster.work)
    assert cluster.journal.kept["given_up"] == []
    assert cluster.secrets() == {"infisical": ["old"]}


@pytest.fixture
def dump(cluster: _Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release with a dump of a database with the secret `dump`."""
    monkeypatch.setattr(cluster_upgrade, "_roll_out_old", lambda _: None)
    monkeypatch.setattr(LoopbackClient, "answers", lambda _: True)
    cluster.make("infisical", "dump")
    place = cluster.host.path(f"{RELEASES}/{_RELEASE}/snapshot")
    place.mkdir(parents=True)
    cluster.host.path(kept_release.DIRECTORY).mkdir(parents=True)
    # Debian's programs choose their version by the server.
    words = ["env", "PGHOST=127.0.0.1", f"PGPORT={cluster.postgres.port}", "pg_dump", "-Fc"]
    words += ["--username", "infisical", "--file", str(place / "database.dump"), "infisical"]
    subprocess.run(words, check=True)
    rows = {"secrets_v2": 1, "secret_versions_v2": 1}
    manifest = {"rows": rows, "at": "2026-11-25T10:00:00Z"}
    (place / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(snapshot, "refuse_altered", lambda *_: None)


def _unusable(cluster: _Cluster) -> None:
    cluster.clear()
    cluster.make("infisical", "unusable")


@pytest.mark.usefixtures("dump")
def test_a_revert_killed_anywhere_keeps_data_that_the_old_version_can_not_use(
    cluster: _Cluster,
) -> None:
    deaths = 0
    for death in cluster.dies(lambda: _unusable(cluster), cluster_upgrade._revert):
        deaths += 1
        cluster_upgrade._revert(cluster.work)
        assert cluster.secrets() == {"infisical": ["dump"], _GIVEN_UP: ["unusable"]}, death
        assert cluster.journal.kept["given_up"][0]["since"] == _SINCE
        assert cluster.sql("postgres", _CLOSED) == "", death
    assert deaths >= 9
    # The last run was not killed.
    assert cluster.secrets() == {"infisical": ["dump"], _GIVEN_UP: ["unusable"]}


@pytest.mark.usefixtures("dump")
def test_writes_are_counted_by_transaction_from_the_start_of_the_change(
    cluster: _Cluster,
) -> None:
    """The clock of the leader does not matter: it was ahead when the change began."""
    _unusable(cluster)
    cluster.journal.kept["begun"] = cluster.sql("infisical", NEXT_TRANSACTION)
    late = "timestamptz '2026-11-25T10:00:00Z'"
    cluster.write("infisical", "acknowledged", at=late)
    cluster_upgrade._revert(cluster.work)
    (found,) = cluster.journal.kept["given_up"]
    assert (found["since"], found["writes"]) == (_SINCE, 1)


def test_the_end_of_an_upgrade_drops_only_databases_without_writes(cluster: _Cluster) -> None:
    cluster.make("infisical", "new")
    for name, note in {"a": "2026 0 image", "b": "2026 3 image", "c": ""}.items():
        cluster.make(f"infisical_given_up_{name}", "given-up")
        if note:
            cluster.sql("postgres", f"COMMENT ON DATABASE infisical_given_up_{name} IS '{note}'")
    gone, kept = databases.forget_given_up(databases.find(cluster.host))
    assert gone == ["infisical_given_up_a"]
    assert [(each.since, each.writes) for each in kept] == [("2026", 3), ("", None)]
    assert cluster.databases() == ["infisical", "infisical_given_up_b", "infisical_given_up_c"]
