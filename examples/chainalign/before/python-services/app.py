"""Forecasts over HTTP: `GET /ready`, and `GET /forecast` with the options that it would use."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import settings


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    def do_GET(self) -> None:
        """Answer one of the two paths."""
        answers = {
            "/ready": {"ready": settings.DATABASE_URL.startswith("postgresql://")},
            "/forecast": {"options": settings.FORECAST},
        }
        answer = answers.get(self.path)
        self.send_response(200 if answer else 404)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer or {"error": "no such path"}).encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("", settings.PORT), Handler).serve_forever()
