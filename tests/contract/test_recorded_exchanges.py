"""Every recorded exchange, in order, against the stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .callers import caller_of, client_secret_of
from .replay import Bindings, Document
from .world import set_up

if TYPE_CHECKING:
    import httpx

    from .services import Standin

RECORDING: Document = json.loads((Path(__file__).parent / "exchanges.json").read_text())
UNREADABLE = {
    "secrets batch create: body above 1 MiB": json.dumps({"padding": "x" * 1_202_676}).encode(),
    "secrets batch create: malformed JSON": b'{"a":',
}
ACCEPTED_DEVIATIONS = {
    "status": (["answer.standin: not in the recording"], "it says that it is a stand-in"),
    "env overrides": (
        None,
        "the answer is a catalogue of a vendor's integrations, which nothing here reads",
    ),
}


class Player:
    """Sends recorded requests and keeps the tokens and secrets of the answers."""

    def __init__(self, standin: Standin) -> None:
        self.client = standin.client()
        self.bound = Bindings(standin.url)
        self.tokens: dict[str, str] = {}
        self.client_secrets: dict[str, str] = {}

    def differences(self, exchange: Document) -> list[str]:
        """Play one exchange; say what is different from the recording."""
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


def test_the_stand_in_answers_every_exchange_as_it_was_recorded(standin: Standin) -> None:
    player = Player(standin)
    played = [player.differences(exchange) for exchange in RECORDING["exchanges"]]
    assert len(played) == 149
    assert [difference for found in played for difference in found] == []


def test_the_stand_in_answers_every_exchange_about_people_as_it_was_recorded(
    standin: Standin,
) -> None:
    world = set_up(standin)
    player = Player(standin)
    player.tokens = {
        "select organization": world.admin.headers["Authorization"].split()[1],
        "universal auth login": world.deployer.headers["Authorization"].split()[1],
    }
    player.bound.values |= {
        "person-uuid-1": world.project_id,
        "person-uuid-5": world.org_id,
    }
    played = [player.differences(exchange) for exchange in RECORDING["people"]]
    assert len(played) == 16
    assert [difference for found in played for difference in found] == []


def test_every_operation_of_the_api_document_is_served(standin: Standin) -> None:
    document = json.loads((Path(__file__).parent / "openapi-subset.json").read_text())
    unserved = []
    client = standin.client()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            if "Route " in answer.text:
                unserved.append(f"{method} {path}")
    assert unserved == []
