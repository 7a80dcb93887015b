"""The server's own description, made of the schemas that check requests."""

from __future__ import annotations

from typing import Any

from openzaya import __version__
from openzaya.serve.rsa_fields import RSAChatRequest
from openzaya.serve.schema import (
    Body,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeRequest,
)
from openzaya.serve.service import Service

_POST: dict[str, tuple[str, type[Body]]] = {
    "/v1/chat/completions": ("Answer a conversation", RSAChatRequest),
    "/rsa/runs": ("The events of a run of Markovian RSA", RSAChatRequest),
    "/v1/completions": ("Continue a text", CompletionRequest),
    "/tokenize": ("Ids of a text or a conversation", TokenizeRequest),
    "/detokenize": ("Text of ids", DetokenizeRequest),
}
_GET = {
    "/v1/models": "The model, and the presets of Markovian RSA as models of their own",
    "/rsa": "Presets of Markovian RSA",
    "/health": "The process answers",
    "/ready": "The server takes requests",
    "/metrics": "Prometheus metrics",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def describe(service: Service) -> dict[str, Any]:
    """OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for path, (summary, body) in _POST.items():
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[body.__name__] = schema
        content = {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
        }
        paths[path] = {
            "post": {
                "summary": summary,
                "requestBody": {"required": True, "content": content},
                "responses": _responses("200", "400", "401", "404", "413", "429", "503"),
            }
        }
    for path, summary in _GET.items():
        paths[path] = {"get": {"summary": summary, "responses": _responses("200", "401", "503")}}
    keys = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"OpenZAYA: {service.name}", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": keys},
        "security": [{"key": []}] if service.api_key else [],
    }


def _responses(*statuses: str) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        s: {"description": "As asked"} if s == "200" else {"description": "Error", "content": error}
        for s in statuses
    }
