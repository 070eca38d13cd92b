"""What HTTP offers, as a page of its own: it needs no script, and nothing from anywhere else."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI, Response
from lxml import etree
from lxml.builder import E

DOCS_PATH: Final = "/docs"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def describe(app: FastAPI) -> None:
    """Let *app* answer `DOCS_PATH` with a list of its operations, drawn from its OpenAPI."""

    async def docs() -> Response:
        return Response(_page(app.openapi()), media_type="text/html", headers=_HEADERS)

    app.get(DOCS_PATH, include_in_schema=False)(docs)


def _page(api: Mapping[str, Any]) -> bytes:
    title = f"{api['info']['title']} {api['info']['version']}"
    page = E.html(
        E.head(E.meta(charset="utf-8"), E.title(title)),
        E.body(
            E.h1(title),
            E.p("For programs: ", E.a("openapi.json", href="/openapi.json")),
            E.dl(*_operations(api["paths"])),
        ),
        lang="en",
    )
    text: bytes = etree.tostring(page, method="html", doctype="<!DOCTYPE html>", encoding="utf-8")
    return text


def _operations(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[etree._Element]:
    for path, verbs in paths.items():
        for verb, operation in verbs.items():
            yield E.dt(E.code(f"{verb.upper()} {path}"))
            yield E.dd(operation.get("summary", ""))
            for status, answer in operation["responses"].items():
                yield E.dd(f"{status}: {answer['description']}")
