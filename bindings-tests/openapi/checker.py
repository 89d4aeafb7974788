# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds exchanges against the OpenAPI document.

A reply may have nothing that the document does not describe: the document allows further members for the sake of later
versions, and the check does not. A request that was taken has to be one that the document allows.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from .exchanges import Exchange

REQUEST, REPLY = "urn:request", "urn:reply"
#: Headers of HTTP itself. All others of a reply have to be described.
OF_HTTP = {
    "content-type", "content-length", "connection", "date", "allow", "transfer-encoding", "cache-control", "x-accel-buffering", "vary", "etag",
    "content-security-policy", "connection-allowlist", "cross-origin-opener-policy", "cross-origin-resource-policy", "referrer-policy", "x-content-type-options",
}  # fmt: skip
#: Refusals of paths that are no operation.
OUTSIDE = {404: ["not_found"], 405: ["method_not_allowed"], 401: ["invalid_api_key"]}


def _base64(_: object, encoding: str, instance: object, __: object) -> Iterator[ValidationError]:
    if encoding == "base64" and isinstance(instance, str):
        try:
            base64.b64decode(instance, validate=True)
        except ValueError:
            yield ValidationError(f"{instance[:40]!r} is not base64")


Validator = validators.extend(Draft202012Validator, {"contentEncoding": _base64})


def strict(schema: Any) -> Any:
    """The schema without room for members that it does not name."""
    match schema:
        case dict():
            made = {name: strict(value) for name, value in schema.items()}
            if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
                made.setdefault("additionalProperties", False)
            return made
        case list():
            return [strict(item) for item in schema]
        case _:
            return schema


class Checker:
    """Counts what it saw: operations with their statuses, and members of objects as `Object.member`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        replies = copy.deepcopy(document)
        replies["components"]["schemas"] = strict(document["components"]["schemas"])
        # Without the package rfc3339-validator no time would be checked.
        assert "date-time" in FormatChecker.checkers
        resources = [(REQUEST, DRAFT202012.create_resource(document)), (REPLY, DRAFT202012.create_resource(replies))]
        self.registry = Registry().with_resources(resources)
        self.validators: dict[str, Any] = {}
        self.operations = [
            (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        self.seen_statuses: Counter[tuple[str, int]] = Counter()
        self.seen_members: set[str] = set()
        self.seen_parameters: set[str] = set()

    def check(self, exchange: Exchange) -> list[str]:
        """What is wrong with an exchange; nothing if it is as the document says."""
        method = "GET" if exchange.method == "HEAD" else exchange.method
        found = [it for at, path, it in self.operations if at == method and path.fullmatch(exchange.path)]
        if not found:
            return list(self._outside(exchange))
        operation = found[0]
        self.seen_statuses[operation["operationId"], exchange.status] += 1
        wrong = list(self._reply(operation, exchange))
        if exchange.status == 200:
            wrong += self._request(operation, exchange)
        return wrong

    # ---- replies ----

    def _outside(self, exchange: Exchange) -> Iterator[str]:
        words = OUTSIDE.get(exchange.status)
        if words is None:
            yield f"the path has no operation, and the reply is {exchange.status}"
            return
        yield from self._refusal(exchange, words, {"$ref": "#/components/schemas/Error"})

    def _reply(self, operation: dict[str, Any], exchange: Exchange) -> Iterator[str]:
        described = self.resolve(operation["responses"].get(str(exchange.status)))
        if described is None:
            yield f"{operation['operationId']} has no reply with status {exchange.status}"
            return
        yield from self._headers(described["headers"], exchange)
        media = exchange.reply_headers.get("content-type", "")
        content = described["content"].get(media)
        if content is None:
            yield f"the reply is {media!r}, not one of {list(described['content'])}"
            return
        if exchange.method == "HEAD" or media != "application/json":
            return
        if "x-errors" in described:
            yield from self._refusal(exchange, described["x-errors"], content["schema"])
        else:
            yield from self._valid(REPLY, exchange.json(), content["schema"])

    def _refusal(self, exchange: Exchange, words: list[str], schema: dict[str, Any]) -> Iterator[str]:
        reply = exchange.json()
        yield from self._valid(REPLY, reply, schema)
        if reply.get("error") not in words:
            yield f"{exchange.status} has the error {reply.get('error')!r}, not one of {words}"
        if exchange.status == 429 and "retry-after" not in exchange.reply_headers:
            yield "429 without Retry-After"

    def _headers(self, described: dict[str, Any], exchange: Exchange) -> Iterator[str]:
        known = {name.lower(): self.resolve(header) for name, header in described.items()}
        for name, header in known.items():
            value = exchange.reply_headers.get(name)
            if value is not None:
                yield from self._valid(REPLY, _read(value, header["schema"]), header["schema"])
            elif header.get("required"):
                yield f"the reply has no header {name}"
        for name in exchange.reply_headers.keys() - known.keys() - OF_HTTP:
            yield f"the header {name} of the reply is not described"

    # ---- requests ----

    def _request(self, operation: dict[str, Any], exchange: Exchange) -> Iterator[str]:
        parameters = [self.resolve(it) for it in operation["parameters"]]
        components = self.document["components"]
        schemes, everywhere = components["securitySchemes"].values(), components["parameters"].values()
        # Where a header of another operation does nothing, it does no harm either.
        named = {it["name"].lower(): it["schema"] for it in everywhere if it["in"] == "header"}
        named |= {it["name"].lower(): {"type": "string"} for it in schemes if it["type"] == "apiKey"}
        own = {it["name"].lower() for it in parameters}
        for name, value in exchange.headers.items():
            if name in named:
                self.seen_parameters |= {name} & own
                yield from self._valid(REQUEST, value, named[name])
            elif name.startswith("x-"):
                yield f"the header {name} of the request is not described"
        if operation["security"] and not exchange.headers.get("authorization", "").startswith("Bearer "):
            yield "the request has no key, and is taken"
        if "requestBody" in operation:
            yield from self._body(operation["requestBody"]["content"], parameters, exchange)
        else:
            yield from self._query(parameters, exchange)

    def _body(self, content: dict[str, Any], parameters: list[Any], exchange: Exchange) -> Iterator[str]:
        media = exchange.headers.get("content-type", "").partition(";")[0].strip()
        if "text/plain" in content and media != "application/json":
            exchange.body.decode()
            yield from self._query(parameters, exchange)
            return
        yield from self._valid(REQUEST, json.loads(exchange.body), content["application/json"]["schema"])

    def _query(self, parameters: list[Any], exchange: Exchange) -> Iterator[str]:
        named = {it["name"]: it["schema"] for it in parameters if it["in"] == "query"}
        for name, value in parse_qsl(exchange.query, keep_blank_values=True):
            if name not in named:
                yield f"{name} in the query is not described"
                continue
            self.seen_parameters.add(name)
            yield from self._valid(REQUEST, _read(value, named[name]), named[name])
            inner = named[name].get("contentSchema")
            if inner:
                yield from self._valid(REQUEST, json.loads(value), inner)

    # ---- schemas ----

    def resolve(self, value: Any) -> Any:
        """The component that a reference names."""
        while isinstance(value, dict) and "$ref" in value:
            place = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                place = place[unquote(part)]
            value = place
        return value

    def _valid(self, side: str, value: Any, schema: dict[str, Any]) -> Iterator[str]:
        key = side + json.dumps(schema)
        if key not in self.validators:
            # References in the schema lead into the whole document.
            full = json.loads(json.dumps(schema).replace('"#/', f'"{side}#/'))
            self.validators[key] = Validator(full, registry=self.registry, format_checker=FormatChecker())
        errors = list(self.validators[key].iter_errors(value))
        for error in errors:
            where = "/".join(map(str, error.absolute_path))
            nested = "; ".join(it.message[:200] for it in error.context or ())
            yield f"{where}: {error.message[:300]} {nested}".strip(": ")
        if not errors:
            self._note(side, value, schema, "")

    def _note(self, side: str, value: Any, schema: dict[str, Any], name: str) -> None:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = self.resolve(schema)
        for one in schema.get("anyOf", ()):
            if not any(self._valid(side, value, one)):
                return
        match value:
            case list():
                for item in value:
                    self._note(side, item, schema.get("items", {}), "")
            case dict():
                for key, inner in value.items():
                    if key in schema.get("properties", {}):
                        self.seen_members.add(f"{name}.{key}")
                        self._note(side, inner, schema["properties"][key], "")

    # ---- what was not seen ----

    def unseen(self) -> Iterator[str]:
        """Operations without a reply 200, statuses, members and parameters that no exchange had."""
        statuses = {status for _, status in self.seen_statuses}
        described = set()
        for _, _, operation in self.operations:
            if (operation["operationId"], 200) not in self.seen_statuses:
                yield f"operation {operation['operationId']}"
            described |= {int(status) for status in operation["responses"]}
            for it in map(self.resolve, operation["parameters"]):
                if it["in"] != "path" and it["name"].lower() not in self.seen_parameters:
                    yield f"parameter {it['name']} of {operation['operationId']}"
        yield from (f"status {status}" for status in sorted(described - statuses))
        for name, schema in self.document["components"]["schemas"].items():
            for member in schema.get("properties", {}):
                if f"{name}.{member}" not in self.seen_members:
                    yield f"member {name}.{member}"


def _read(text: str, schema: dict[str, Any]) -> Any:
    """The value of a header or a query, which is text, as its schema has it."""
    match schema.get("type"):
        case "integer" if re.fullmatch(r"-?\d+", text):
            return int(text)
        case "boolean" if text in ("true", "1", "false", "0"):
            return text in ("true", "1")
        case _:
            return text
