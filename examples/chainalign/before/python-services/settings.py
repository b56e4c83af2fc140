"""Configuration that differs between machines, from .env or .env.production."""

import json
import os

from dotenv import load_dotenv

load_dotenv(".env.production" if os.environ.get("APP_ENV") == "production" else ".env")

PORT = int(os.environ.get("PORT", "8000"))
DATABASE_URL = os.environ["DATABASE_URL"]
JWT_SECRET = os.environ["JWT_SECRET"]
FORECAST = json.loads(os.environ.get("FORECAST_OPTIONS", "{}"))
