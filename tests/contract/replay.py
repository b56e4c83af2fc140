"""Replay recorded exchanges; placeholders are bound by answers and then compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .callers import caller_of, client_secret_of

if TYPE_CHECKING:
    import httpx

    from .world import World

Document = dict[str, Any]

RECORDING: Document = json.loads((Path(__file__).parent / "exchanges.json").read_text())
UNREADABLE = {
    "secrets batch create: body above 1 MiB": json.dumps({"padding": "x" * 1_202_676}).encode(),
    "secrets batch create: malformed JSON": b'{"a":',
}
ACCEPTED_DEVIATIONS = {
    "status": (["answer.standin: not in the recording"], "the stand-in names itself there"),
    "env overrides": (
        None,
        "the answer is a catalogue of a vendor's integrations, which nothing here reads",
    ),
}
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PLACEHOLDER = re.compile(r"(?:person-)?uuid-\d+|<[A-Za-z_]+>|<\d+ times x>")
FORMS = {
    "<timestamp>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "<reqId>": r"req-\S+",
    "<jwt>": r"[\w-]+\.[\w-]+\.[\w-]+",
    "<clientSecret>": r"[0-9a-f]{64}",
    "<inviteToken>": r"\w+",
    "<userAgent>": r"\S+",
    "<address>": r"[0-9a-f.:]+",
}
RANDOM = {"clientSecretPrefix": r"[0-9a-f]{4}", "slug": r"(chainalign-)[a-z0-9]+(-[a-z0-9]+)*"}


class Bindings:
    """The values of a recording's placeholders in this run."""

    def __init__(self, site_url: str) -> None:
        self.values: dict[str, str] = {"<SITE_URL>": site_url}

    def fill(self, recorded: Any) -> Any:
        """Return a recorded request with the values of this run."""
        if isinstance(recorded, dict):
            return {key: self.fill(value) for key, value in recorded.items()}
        if isinstance(recorded, list):
            return [self.fill(value) for value in recorded]
        if isinstance(recorded, str):
            return PLACEHOLDER.sub(self._value, recorded)
        return recorded

    def _value(self, found: re.Match[str]) -> str:
        if times := re.fullmatch(r"<(\d+) times x>", found[0]):
            return "x" * int(times[1])
        return self.values.get(found[0], found[0])

    def differences(self, recorded: Any, actual: Any, where: str = "answer") -> list[str]:
        """Return where an answer differs from the recorded one; bind new ids."""
        if type(recorded) is not type(actual):
            return [f"{where}: {actual!r} instead of {recorded!r}"]
        if isinstance(recorded, dict):
            return self._compare_fields(recorded, actual, where)
        if isinstance(recorded, list):
            return self._compare_items(recorded, actual, where)
        if isinstance(recorded, str):
            return self._compare_texts(recorded, actual, where)
        return [] if recorded == actual else [f"{where}: {actual!r} instead of {recorded!r}"]

    def _compare_fields(self, recorded: Document, actual: Document, where: str) -> list[str]:
        missing, extra = recorded.keys() - actual.keys(), actual.keys() - recorded.keys()
        found = [f"{where}.{name}: missing" for name in sorted(missing)]
        found += [f"{where}.{name}: not in the recording" for name in sorted(extra)]
        for name in recorded.keys() & actual.keys():
            form = RANDOM.get(name)
            if form and isinstance(recorded[name], str) and re.fullmatch(form, recorded[name]):
                if not re.fullmatch(form, str(actual[name])):
                    found.append(f"{where}.{name}: {actual[name]!r} has another form")
                continue
            found += self.differences(recorded[name], actual[name], f"{where}.{name}")
        return found

    def _compare_items(self, recorded: list[Any], actual: list[Any], where: str) -> list[str]:
        if len(recorded) != len(actual):
            return [f"{where}: {len(actual)} items instead of {len(recorded)}"]
        pairs = zip(_in_order(recorded), _in_order(actual), strict=True)
        return [
            difference
            for index, (one, other) in enumerate(pairs)
            for difference in self.differences(one, other, f"{where}[{index}]")
        ]

    def _compare_texts(self, recorded: str, actual: str, where: str) -> list[str]:
        new: list[str] = []
        pattern, end = "", 0
        for found in PLACEHOLDER.finditer(recorded):
            pattern += re.escape(recorded[end : found.start()]) + self._form(found, new)
            end = found.end()
        pattern += re.escape(recorded[end:])
        matched = re.fullmatch(pattern, actual, re.DOTALL)
        if matched is None:
            return [f"{where}: {actual[:300]!r} instead of {recorded[:300]!r}"]
        self.values |= dict(zip(new, matched.groups(), strict=True))
        return []

    def _form(self, found: re.Match[str], new: list[str]) -> str:
        name = found[0]
        if name in FORMS:
            return FORMS[name]
        value = self._value(found)
        if value == name and "uuid-" in name:
            new.append(name)
            return f"({UUID})"
        return re.escape(value)


def _in_order(items: list[Any]) -> list[Any]:
    """Sort lists without a particular order: secrets by their keys, members by their names."""

    def key(item: Document) -> str:
        if "identity" in item:
            return str(item["identity"]["name"])
        return str(item.get("secretKey") or item["user"]["username"])

    try:
        return sorted(items, key=key)
    except (AttributeError, KeyError, TypeError):
        return items


class Server(Protocol):
    """A stand-in or a real server."""

    @property
    def url(self) -> str:
        """The address of the server."""

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client, with a token if one is given."""


class Player:
    """Send recorded requests, and keep the tokens and secrets of the answers."""

    def __init__(self, server: Server) -> None:
        self.client = server.client()
        self.bound = Bindings(server.url)
        self.tokens: dict[str, str] = {}
        self.client_secrets: dict[str, str] = {}

    def differences(self, exchange: Document) -> list[str]:
        """Play one exchange, and return the differences from the recording."""
        label = exchange["label"]
        answer = self._send(exchange)
        if answer.status_code != exchange["status"]:
            return [f"{label}: status {answer.status_code}, {answer.text[:300]}"]
        body = answer.json() if answer.content else ""
        self._keep(label, body)
        found = self.bound.differences(exchange["response"], body)
        accepted, _ = ACCEPTED_DEVIATIONS.get(label, ([], ""))
        if accepted is None:
            return []
        return [f"{label}: {each}" for each in found if each not in accepted]

    def _send(self, exchange: Document) -> httpx.Response:
        label, body = exchange["label"], self._body(exchange)
        headers = self._authorization(label)
        content: bytes | None = UNREADABLE.get(label)
        if content is None and body is not None:
            content = json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        return self.client.request(
            exchange["method"],
            self.bound.fill(exchange["path"]),
            params=self.bound.fill(exchange["query"]),
            content=content,
            headers=headers,
        )

    def _body(self, exchange: Document) -> Any:
        body = self.bound.fill(exchange["request"])
        if not isinstance(body, dict):
            return body
        if body.get("clientSecret") == "<clientSecret>":
            body["clientSecret"] = self.client_secrets[client_secret_of(exchange["label"])]
        if body.get("accessToken") == "<jwt>":
            body["accessToken"] = self.tokens["universal auth login: service"]
        return body

    def _authorization(self, label: str) -> dict[str, str]:
        if label == "malformed token":
            return {"Authorization": "Bearer malformed"}
        giver = caller_of(label)
        return {"Authorization": f"Bearer {self.tokens[giver]}"} if giver else {}

    def _keep(self, label: str, body: Any) -> None:
        if not isinstance(body, dict):
            return
        identity_token = body.get("identity", {}).get("credentials", {}).get("token")
        token = body.get("accessToken") or body.get("token") or identity_token
        if token:
            self.tokens[label] = token
        if "clientSecret" in body:
            self.client_secrets[label] = body["clientSecret"]


def with_deployer(world: World) -> Player:
    """Return a player of the exchanges about people on a bootstrapped server."""
    player = Player(world.standin)
    player.tokens = {
        "select organization": world.admin.headers["Authorization"].split()[1],
        "universal auth login": world.deployer.headers["Authorization"].split()[1],
    }
    player.bound.values |= {"person-uuid-1": world.project_id, "person-uuid-5": world.org_id}
    return player
