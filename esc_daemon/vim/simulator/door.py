"""
A simulated cloud over HTTP: its page, and the same as JSON for programs.

It is for this machine alone, and has no login: what a web page of somebody else makes a browser
send here is refused by its Origin, Sec-Fetch-Site and Host (DNS rebinding), before it is read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from esc_daemon.hosts import names_this_machine
from esc_daemon.vim.simulator.control import Control, ControlError, UnknownThing
from esc_daemon.vim.simulator.faults import FaultError, Rule, Standing, rule_of
from esc_daemon.vim.simulator.page import STYLE, STYLE_PATH, page

_MOST_BYTES: Final = 16 << 10
_READ_SECONDS: Final = 10.0
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_MOST_FIELDS: Final = 50
_WHOLE_NUMBERS: Final = ("skip", "count")
_FRACTIONS: Final = ("seconds", "lasts", "probability", "begin", "end", "value")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Next = Callable[[Request], Awaitable[Response]]


class _BadRequestError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def door(control: Control) -> FastAPI:
    """Return the application that shows *control* to its operator."""
    app = FastAPI(title="Simulated VIM", openapi_url=None, docs_url=None, redoc_url=None)
    app.middleware("http")(_guarded)
    app.get("/")(partial(_show, control))
    app.get(STYLE_PATH)(_style)
    app.get("/cloud")(partial(_cloud, control))
    app.get("/faults")(partial(_faults, control))
    app.post("/faults")(partial(_add_fault, control))
    app.delete("/faults/{number}")(partial(_remove_fault, control))
    app.post("/faults/reload")(partial(_reload, control))
    app.post("/faults/remove")(partial(_remove_faults, control))
    app.post("/faults/{number}/remove")(partial(_remove_fault, control))
    app.post("/{kind}/{id_}/{action}")(partial(_act, control))
    return app


async def _guarded(request: Request, call_next: Next) -> Response:
    problem = _unwanted(request)
    if problem:
        response = _json({"error": problem}, 403)
    else:
        response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _unwanted(request: Request) -> str:
    """Return why a request is not from a person or a program of this machine."""
    host = request.headers.get("host", "")
    if not names_this_machine(host):
        return f"the host {host[:100]!r} is not a name of this machine: use 127.0.0.1"
    if request.method in ("GET", "HEAD"):
        return ""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "this came from the page of another site"
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "this came from the page of another site"
    return ""


async def _body(request: Request) -> bytes:
    """Return the body; _BadRequestError where it is too long, or does not come whole in time."""
    data = bytearray()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise _BadRequestError(413, f"the limit is {_MOST_BYTES} bytes")
    except (TimeoutError, ClientDisconnect) as error:
        raise _BadRequestError(408, "the request did not come whole in time") from error
    return bytes(data)


def _type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_object(body: bytes) -> bool:
    """Tell whether *body* is no form but JSON: curl -d calls everything a form."""
    return body.lstrip().startswith(b"{")


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=_JSON)


async def _done(
    request: Request, control: Control, doing: Callable[[bytes], object], status: int = 200
) -> Response:
    """Do it with the body; a form is answered with the page, a program with JSON."""
    is_form = _type_of(request) == _FORM
    try:
        body = await _body(request)
        is_form = is_form and not _is_object(body)
        result = doing(body)
    except _BadRequestError as error:
        problem, code = str(error), error.status
    except FaultError as error:
        problem, code = str(error), 400
    except UnknownThing as error:
        problem, code = str(error), 404
    except ControlError as error:
        problem, code = str(error), 409
    else:
        if is_form:
            return Response(status_code=303, headers={"Location": "/"})
        return _json({} if result is None else result, status)
    if is_form:
        return _page(control, problem=problem, status=code)
    return _json({"error": problem}, code)


def _page(
    control: Control, *, find: str = "", problem: str = "", refresh: bool = False, status: int = 200
) -> Response:
    file = control.faults_file
    content = page(
        control.look(),
        control.rules(),
        faults_file="" if file is None else str(file),
        find=find,
        problem=problem,
        refresh=refresh,
    )
    return Response(content, status, media_type="text/html; charset=utf-8")


async def _show(control: Control, find: str = "", refresh: str = "") -> Response:
    return _page(control, find=find[:100], refresh=bool(refresh))


async def _style() -> Response:
    return Response(STYLE, media_type="text/css; charset=utf-8")


async def _cloud(control: Control) -> Response:
    return _json(control.look())


async def _faults(control: Control) -> Response:
    return _json({"rule": [_shown(each) for each in control.rules()]})


def _shown(standing: Standing) -> dict[str, Any]:
    rule = msgspec.to_builtins(standing.rule)
    return {"number": standing.number, **rule, "met": standing.met, "struck": standing.struck}


async def _add_fault(control: Control, request: Request) -> Response:
    content_type = _type_of(request)
    return await _done(
        request,
        control,
        lambda body: {"number": control.add_rule(_rule_in(body, content_type))},
        status=201,
    )


def _rule_in(body: bytes, content_type: str) -> Rule:
    if content_type == _JSON:
        try:
            return rule_of(msgspec.json.decode(body))
        except (msgspec.DecodeError, RecursionError) as error:
            raise _BadRequestError(400, f"this is no JSON: {error}") from error
    if content_type != _FORM:
        raise _BadRequestError(415, f"send the header Content-Type: {_JSON}, or a form as {_FORM}")
    if _is_object(body):
        raise _BadRequestError(415, f"for JSON send the header Content-Type: {_JSON}")
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise _BadRequestError(400, f"this is no form: {error}") from error
    return rule_of({name: _typed(name, text) for name, text in fields.items()})


def _typed(name: str, text: str) -> str | int | float | bool:
    """Return what a field of the form means; msgspec says what it cannot mean."""
    try:
        if name in _WHOLE_NUMBERS:
            return int(text)
        if name in _FRACTIONS:
            return float(text)
    except ValueError:
        return text
    return text == "true" if name == "takes_effect" else text


async def _remove_fault(control: Control, request: Request, number: str) -> Response:
    wanted = int(number) if number.isdecimal() and len(number) < 10 else 0
    return await _done(request, control, lambda _: control.drop_rule(wanted))


async def _remove_faults(control: Control, request: Request) -> Response:
    return await _done(request, control, lambda _: control.drop_rules())


async def _reload(control: Control, request: Request) -> Response:
    return await _done(request, control, lambda _: {"rules": control.reload()})


async def _act(control: Control, request: Request, kind: str, id_: str, action: str) -> Response:
    return await _done(request, control, lambda _: control.act(kind, id_, action))
