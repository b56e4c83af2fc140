"""Forecasts over HTTP, for callers with a token of the backend."""

from typing import Annotated

import jwt
import psycopg
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from settings import settings

app = FastAPI(title="Forecasts")


def member(sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Return the name in the token that was sent; answer 401 if the backend did not sign it."""
    try:
        claims = jwt.decode(sent.credentials, settings.JWT_SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "the token is not one of the backend's") from None
    return str(claims["sub"])


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Answer once the database does."""
    with psycopg.connect(settings.DATABASE_URL, connect_timeout=3) as connection:
        connection.execute("SELECT 1")
    return {"ready": True}


@app.get("/forecast")
def forecast(name: Annotated[str, Depends(member)]) -> dict[str, object]:
    """Return the options of a forecast for this member."""
    return {"for": name, "options": settings.FORECAST_OPTIONS}


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=settings.PORT, log_level="warning")
