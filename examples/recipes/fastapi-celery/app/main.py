"""The API."""

from urllib.parse import urlsplit

from fastapi import FastAPI

from app.settings import settings
from app.tasks import measure

app = FastAPI()


@app.get("/")
def status() -> dict[str, str | None]:
    """Return the host of the database."""
    return {"database": urlsplit(settings.database_url.get_secret_value()).hostname}


@app.post("/measure/{text}")
def start(text: str) -> dict[str, int | str]:
    """Have the worker measure a text."""
    return measure.delay(text).get(timeout=20)
