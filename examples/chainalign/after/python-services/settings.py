"""Everything that differs from one place to the next; what is wrong is told at the start."""

from pathlib import Path

from infisical_config import Cache, exit_on_error, load
from pydantic import BaseModel, Json

# From this file, which is encrypted and ignored by git, the service starts while Infisical is down.
_CACHE = Path(__file__).parent / "cache" / "config"


class ForecastOptions(BaseModel):
    """How forecasts are made."""

    model: str
    horizon: int


class Settings(BaseModel):
    """What the service needs, by the names that Infisical has."""

    PORT: int
    DATABASE_URL: str
    JWT_SECRET: str
    FORECAST_OPTIONS: Json[ForecastOptions]


with exit_on_error():
    settings = load(schema=Settings, cache=Cache(_CACHE))
