"""Test the requests that write secrets: one for each folder, within the size limit."""

import json
from datetime import date
from pathlib import Path

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_iac.migrate.apply import MOST_BYTES, Batch, pack
from infisical_iac.migrate.model import Secret, Stored
from tests.unit.migrate.moving import secret

_TODAY = date(2026, 11, 25)
_CONTRACT = Path(__file__).parents[2] / "contract" / "openapi-subset.json"
_PARTS = st.integers(1, 400_000).map(lambda length: "ü\n" * (length // 3))
_SECRETS = st.lists(
    st.builds(
        secret,
        key=st.from_regex(r"[A-Z]{4,8}", fullmatch=True),
        value=_PARTS,
        environment=st.sampled_from(["development", "production"]),
        folder=st.sampled_from(["/backend", "/worker"]),
    ),
    max_size=12,
    unique_by=lambda each: each.name,
)


def _encode(batch: Batch) -> bytes:
    body = batch.body("0" * 36)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@settings(max_examples=settings().max_examples // 2)
@given(_SECRETS)
def test_every_secret_is_in_one_request_within_the_size_limit(
    secrets: list[Secret],
) -> None:
    batches = pack(secrets, [], {}, _TODAY)
    assert sorted(name for each in batches for name in each.names) == sorted(
        each.name for each in secrets
    )
    assert all(len(_encode(each)) < MOST_BYTES for each in batches)


def test_each_folder_gets_one_request_that_names_the_source_files() -> None:
    secrets = [secret("A"), secret("B"), secret("C", folder="/worker")]
    one, two = pack(secrets, [], {}, _TODAY)
    assert [str(one), str(two)] == [
        "2 secrets in production/backend",
        "1 secret in production/worker",
    ]
    assert one.items[0] == {
        "secretKey": "A",
        "secretValue": "fake-value",
        "secretComment": "migrated from backend/.env:3, 2026-11-25",
    }


def test_new_secrets_are_created_by_a_request_that_refuses_existing_secrets() -> None:
    (batch,) = pack([secret()], [], {}, _TODAY)
    assert batch.request == ("POST", "/api/v4/secrets/batch")
    assert "mode" not in batch.body("fake")


def test_new_and_changed_secrets_of_a_folder_are_one_upsert() -> None:
    new, changed = secret("NEW"), secret("CHANGED")
    there = {changed.name: Stored("other", "by hand")}
    (batch,) = pack([new], [changed], there, _TODAY)
    assert batch.request == ("PATCH", "/api/v4/secrets/batch")
    assert batch.body("fake")["mode"] == "upsert"
    assert "secretComment" in batch.items[0]
    assert "secretComment" not in batch.items[1]


def test_a_comment_of_an_earlier_migration_is_replaced() -> None:
    there = {secret().name: Stored("other", "migrated from elsewhere")}
    (batch,) = pack([], [secret()], there, _TODAY)
    assert "backend/.env:3" in batch.items[0]["secretComment"]


def test_request_bodies_conform_to_the_servers_openapi_schema() -> None:
    paths = json.loads(_CONTRACT.read_text(encoding="utf-8"))["paths"]
    for batch in (*pack([secret()], [], {}, _TODAY), *pack([], [secret()], {}, _TODAY)):
        method, path = batch.request
        body = paths[path][method.lower()]["requestBody"]["content"]["application/json"]
        jsonschema.validate(batch.body("fake"), body["schema"])


def test_batches_and_secrets_are_printed_without_values() -> None:
    batches = pack([secret()], [], {}, _TODAY)
    assert "fake-value" not in repr((batches, secret(), Stored("fake-value"), str(batches[0])))
