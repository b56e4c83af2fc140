"""A fake leader of a cluster: a Docker with a swarm, and the databases that it reaches."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner, docker_container

_STATE = "/state.json"
_CONTAINERS = {
    "pgid": "infisical_postgres-1",
    "redisid": "infisical_redis-1",
}
_PASSWORD = "obviously-fake"
_IMAGE = "infisical/infisical:v0.165.16"


@dataclass(frozen=True)
class FakePrimary(FakeRunner):
    """A leader whose databases and services are in one file, which no call leaves half-written.

    Attributes:
        failing: the beginnings of calls that fail.
        nodes: the state and the labels of each node; the first one is the leader.
        lasting: how often a replica that was stopped is still listed as running.
    """

    failing: list[str] = field(default_factory=list)
    nodes: list[tuple[str, dict[str, str]]] = field(
        default_factory=lambda: [("ready", {}), ("ready", {}), ("ready", {})]
    )
    lasting: list[int] = field(default_factory=lambda: [0])

    def read(self) -> dict[str, Any]:
        """Return the state: databases by name, which of them are closed, comments, and so on."""
        found: dict[str, Any] = json.loads(self.text(_STATE) or "{}")
        return found

    def change(self, **values: Any) -> None:
        """Change the state."""
        self.write(_STATE, json.dumps({**self.read(), **values}))

    def begin(self, **databases: str) -> None:
        """Make the leader, with the content of each database by name."""
        self.change(databases=databases, closed=[], comments={}, replicas=3, edge="open", edges=[])
        for name in ("postgres_password", "redis_password"):
            self.write(f"/etc/infisical/keys/{name}", _PASSWORD)
        self.write("/etc/infisical/led", "3\n")

    @property
    def databases(self) -> dict[str, str]:
        """The content of each database, by its name."""
        found: dict[str, str] = self.read()["databases"]
        return found

    def given_up(self) -> dict[str, str]:
        """Return the content of each database that was given up, by its name."""
        prefix = "infisical_given_up_"
        return {name: text for name, text in self.databases.items() if name.startswith(prefix)}

    def add_write(self) -> bool:
        """Write to the data in place unless they are closed; return whether they were open."""
        state = self.read()
        if "infisical" in state["closed"] or "infisical" not in state["databases"]:
            return False
        state["databases"]["infisical"] += " and a write"
        self.change(databases=state["databases"])
        return True

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        command = " ".join(words)
        assert _PASSWORD not in command
        self.ran.append((command, stdin))
        if any(each in command for each in self.failing):
            return Output(1, "", "it fails\n")
        answer = self._answer([*words], stdin)
        if answer is None:
            self.ran.pop()
            return super().run(words, stdin=stdin, seconds=seconds, environment=environment)
        return answer if isinstance(answer, Output) else Output(0, answer)

    def _answer(self, words: list[str], stdin: str) -> str | Output | None:
        match words:
            case ["docker", "ps", *_]:
                return "".join(f"{each}\n" for each in _CONTAINERS)
            case ["docker", "inspect", *rest]:
                found = (docker_container(each, swarm=_CONTAINERS[each]) for each in rest[2:])
                return "".join(f"{json.dumps(each)}\n" for each in found)
            case ["docker", "info", *_, asked]:
                return "n0\n" if "NodeID" in asked else "/\n"
            case ["docker", "exec", *_]:
                return self._execute(words, stdin)
            case ["docker", "node", *rest]:
                return self._node(rest)
            case ["docker", "service", *rest]:
                return self._service(rest)
            case ["docker", "tag", *_] | ["systemctl" | "systemd-run", *_]:
                return ""
        return None

    def _node(self, words: list[str]) -> str:
        match words:
            case ["ls", "--quiet"]:
                return "".join(f"n{number}\n" for number, _ in enumerate(self.nodes))
            case ["ls", *_]:
                states = (state.capitalize() for state, _ in self.nodes)
                return _lines(
                    {"Hostname": f"host-{number}", "Status": each}
                    for number, each in enumerate(states)
                )
            case ["update", "--label-add", label, node]:
                name, _, value = label.partition("=")
                self.nodes[int(node[1:])][1][name] = value
                return ""
        return _lines(
            {
                "ID": f"n{number}",
                "Description": {"Hostname": f"host-{number}"},
                "Status": {"State": state},
                "Spec": {"Availability": "active", "Labels": labels},
            }
            for number, (state, labels) in enumerate(self.nodes)
        )

    def _service(self, words: list[str]) -> str | Output:
        match words:
            case ["inspect", "infisical-edge"]:
                return Output(0 if self.read()["edges"] else 1)
            case ["inspect", "--format", "{{json .Spec}}", *_]:
                container = {"ContainerSpec": {"Image": _IMAGE}}
                return _lines([{"Name": "infisical_infisical", "TaskTemplate": container}])
            case ["inspect", "--format", _, _]:
                return f"{_IMAGE}\n"
            case ["ls", *_]:
                return "id\n"
            case ["scale", "--detach", asked]:
                self.change(replicas=int(asked.partition("=")[2]))
            case ["ps", *_, "infisical-edge"]:
                return _lines(self.read()["edges"])
            case ["ps", *_]:
                self.lasting[0] -= 1
                state = "Running" if self.lasting[0] >= 0 else "Shutdown"
                return _lines([{"Node": "host-1", "CurrentState": f"{state} 2 seconds ago"}])
            case ["create", *_, command]:
                edges = [
                    {
                        "Node": f"n{number}",
                        "CurrentState": f"{'Complete' if state == 'ready' else 'Pending'} now",
                        "Error": "",
                    }
                    for number, (state, _) in enumerate(self.nodes)
                ]
                edge = "closed" if command.startswith("touch") else "open"
                self.change(edges=edges, edge=edge)
            case ["rm", _]:
                self.change(edges=[])
            case ["logs", *_]:
                return "a logged line\n"
        return ""

    def _execute(self, words: list[str], stdin: str) -> str | Output:
        if "redisid" in words:
            assert stdin == f"{_PASSWORD}\n"
            self.change(emptied=self.read().get("emptied", 0) + 1)
            return ""
        if "psql" not in words and "pg_restore" not in words:
            return "postgres-2\n"  # the primary
        assert "PGHOST=postgres-2,postgres-1,postgres-2,postgres-3" in words
        password, _, text = stdin.partition("\n")
        if password != _PASSWORD:
            return Output(2, "", "no password\n")
        name = words[words.index("--dbname") + 1]
        state = self.read()
        if name in state["closed"] or name not in {*state["databases"], "postgres"}:
            return Output(2, "", f"{name} takes no connections\n")
        if "pg_restore" in words:
            state["databases"][name] = text
            self.change(**state)
            return ""
        try:
            said = _query(text, state)
        except KeyError as error:
            return Output(3, "", f"{error}\n")
        self.change(**state)
        return said


def _lines(found: Any) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in found)


def _query(text: str, state: dict[str, Any]) -> str:
    """Return what SQL prints, and change the state. Raises KeyError, with nothing changed."""
    if "string_agg" in text:
        return "" if state.get("mute") else "42|0\n"
    said = []
    for statement in re.split(r";|/dev/null", text):
        for form, act in _STATEMENTS.items():
            if found := re.search(form, statement):
                said.append(act(state, *found.groups()))
                break
    return "".join(said)


def _rename(state: dict[str, Any], old: str, new: str) -> str:
    if new in state["databases"]:
        raise KeyError(new)
    state["databases"][new] = state["databases"].pop(old)
    state["closed"] = [new if each == old else each for each in state["closed"]]
    if old in state["comments"]:
        state["comments"][new] = state["comments"].pop(old)
    return ""


def _allow(state: dict[str, Any], name: str, value: str) -> str:
    if name not in state["databases"]:
        raise KeyError(name)
    state["closed"] = [each for each in state["closed"] if each != name]
    if value == "false":
        state["closed"].append(name)
    return ""


def _drop(state: dict[str, Any], name: str) -> str:
    state["databases"].pop(name, None)
    state["comments"].pop(name, None)
    state["closed"] = [each for each in state["closed"] if each != name]
    return ""


def _create(state: dict[str, Any], name: str) -> str:
    if name in state["databases"]:
        raise KeyError(name)
    state["databases"][name] = ""
    return ""


def _comment(state: dict[str, Any], name: str, comment: str) -> str:
    state["comments"][name] = comment
    return ""


def _list_given_up(state: dict[str, Any]) -> str:
    names = sorted(each for each in state["databases"] if each.startswith("infisical_given_up_"))
    return _lines([each, state["comments"].get(each, "")] for each in names)


_STATEMENTS: dict[str, Callable[..., str]] = {
    r"FROM pg_stat_replication": lambda state: "" if state.get("alone") else "1\n",
    r"SELECT 1 FROM pg_database WHERE datname = '(\w+)'": lambda state, name: (
        "1\n" if name in state["databases"] else ""
    ),
    r"json_build_array\(datname": _list_given_up,
    r"pg_snapshot_xmin": lambda _: "770\n",
    r"HAVING count": lambda _: "projects 2\n",
    r"CREATE DATABASE (\w+)": _create,
    r"DROP DATABASE IF EXISTS (\w+)": _drop,
    r"ALTER DATABASE (\w+) RENAME TO (\w+)": _rename,
    r"ALTER DATABASE (\w+) ALLOW_CONNECTIONS (\w+)": _allow,
    r"COMMENT ON DATABASE (\w+) IS '(.*)'": _comment,
}
