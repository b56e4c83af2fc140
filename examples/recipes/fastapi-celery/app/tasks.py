"""Tasks for the worker."""

from celery import Celery

from app.settings import settings

broker = settings.celery_broker_url.get_secret_value()
app = Celery("recipe", broker=broker, backend=broker)


@app.task
def measure(text: str) -> dict[str, int | str]:
    """Return the length of a text, and the level that the worker logs at."""
    return {"length": len(text), "log_level": settings.log_level}
