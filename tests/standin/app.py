"""The ASGI application: it calls the handler of each HTTP request and sends the answer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .access import authenticate
from .errors import ApiError, forbidden_error, something_went_wrong, unauthorized_error
from .mail import MailError
from .redis_gate import RedisGate
from .routes.licensed import record_event
from .web import ENDPOINTS, NOBODY, Call, Endpoint, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from .access import Actor
    from .store import Document, Store

BODY_LIMIT = 1024 * 1024
WRITES_IN_MAINTENANCE = ("/api/v1/auth/universal-auth/login", "/api/v1/auth/token/renew")


def make_app(server: Server) -> Starlette:
    """Return the application with all registered routes."""

    def endpoint_of(endpoint: Endpoint) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            log = _RequestLog(request)
            raw = await _read(request)
            response = await run_in_threadpool(_answer, server, endpoint, request, raw)
            log.end(response.status_code)
            return response

        return answer

    lost = "additional-privilege" if server.config.privileges == "lost" else None
    served = [each for each in ENDPOINTS if not lost or lost not in each.path]
    literal_first = sorted(served, key=lambda endpoint: endpoint.path.count("{"))
    return Starlette(
        routes=[Route(e.path, endpoint_of(e), methods=[e.method]) for e in literal_first],
        middleware=[Middleware(RedisGate, settings=server.config.redis)],
        exception_handlers={404: _no_route, 405: _no_route, Exception: _answer_unexpected},
    )


class _RequestLog:
    """Logs two lines for a request, as the real server does."""

    def __init__(self, request: Request) -> None:
        self._begin, self._id = time.monotonic(), f"req-{uuid4().hex[:14]}"
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        asked = {"method": request.method, "url": url, "host": request.headers.get("host", "")}
        asked["remoteAddress"] = request.client.host if request.client else ""
        self._write(req=asked, msg="incoming request")

    def end(self, status: int) -> None:
        took = (time.monotonic() - self._begin) * 1000
        self._write(res={"statusCode": status}, responseTime=took, msg="request completed")

    def _write(self, **values: Any) -> None:
        now = int(time.time() * 1000)
        common = {"level": 30, "time": now, "reqId": self._id, "severity": "INFO"}
        print(json.dumps({**common, **values}), flush=True)


async def _read(request: Request) -> bytes | None:
    """Return the body, or None if it is too long; the rest is then read and dropped."""
    kept = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= BODY_LIMIT:
            kept += chunk
    return bytes(kept) if size <= BODY_LIMIT else None


def _answer(server: Server, endpoint: Endpoint, request: Request, raw: bytes | None) -> Response:
    limits: dict[str, str] = {}
    response = _answer_within(limits, server, endpoint, request, raw)
    response.headers.update(limits)
    return response


def _answer_within(
    limits: dict[str, str], server: Server, endpoint: Endpoint, request: Request, raw: bytes | None
) -> Response:
    """Return an answer, and add the headers of rate limits to `limits`."""
    address = request.client.host if request.client else ""
    try:
        _refuse_in_maintenance(server, endpoint)
        if not endpoint.transaction:
            server.limits.count(endpoint.method, endpoint.path, address, limits)
            return _respond(endpoint.handler(_call(server, request, raw)))
        with server.database.transaction() as store:
            actor = _actor(server, endpoint, store, request)
            server.limits.count(endpoint.method, endpoint.path, address, limits)
            call = _call(server, request, raw)
            call.actor, call.opened = actor, store
            answer = _respond(endpoint.handler(call))
            record_event(call, endpoint.method, endpoint.path)
        for action in call.later:
            action()
        return answer
    except ApiError as error:
        return JSONResponse(error.body(), error.status)
    except MailError:
        return JSONResponse(something_went_wrong().body(), 500)
    except psycopg.Error:
        return JSONResponse(something_went_wrong("DatabaseError").body(), 500)
    except RedisError:
        return JSONResponse(something_went_wrong().body(), 500)


def _refuse_in_maintenance(server: Server, endpoint: Endpoint) -> None:
    writes = endpoint.method != "GET" and endpoint.path not in WRITES_IN_MAINTENANCE
    if server.config.maintenance and writes:
        raise something_went_wrong()


def _actor(server: Server, endpoint: Endpoint, store: Store, request: Request) -> Actor:
    if not endpoint.actors:
        return NOBODY
    header = request.headers.get("authorization")
    actor = authenticate(store, header, server.config.auth_secret)
    if actor.kind not in endpoint.actors:
        message = "You are not allowed to access this resource"
        raise forbidden_error(message, f"Forbidden access to {_url(request)}")
    if endpoint.needs_org and actor.org_id is None:
        raise unauthorized_error("Invalid token, no organization was selected")
    return actor


def _call(server: Server, request: Request, raw: bytes | None) -> Call:
    if raw is None:
        raise something_went_wrong()
    try:
        body = json.loads(raw) if raw.strip() else {}
    except ValueError:
        raise something_went_wrong() from None
    path, query = request.path_params, dict(request.query_params)
    return Call(server, path, query, request.headers, body)


def _respond(result: Any) -> Response:
    return result if isinstance(result, Response) else JSONResponse(result)


def _url(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"


async def _no_route(request: Request, error: Exception) -> Response:
    message = f"Route {request.method}:{_url(request)} not found"
    body: Document = {"message": message, "error": "Not Found", "statusCode": 404}
    return JSONResponse(body, 404)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"message": error.detail}, error.status_code)
    return JSONResponse(something_went_wrong().body(), 500)
