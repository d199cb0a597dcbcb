"""The OpenAPI document of the query API: a path for each query of config/queries, with its parameters and what it answers.

`make docs` writes it; `make check` says when it is out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from headwater.config import Project, Query
from headwater.config.environment import QueryApi
from headwater.config.query import ONE_LINE, DateParameter, IntegerParameter, Parameter, TextParameter
from headwater.deploy.project import Declared
from headwater.serve.api import FORMATS
from headwater.serve.problems import PROBLEM
from headwater.validate.queries import selected

_PROBLEMS = {
    400: "A parameter is missing, unknown or wrong.",
    401: "The header x-api-key holds no key of a known consumer.",
    404: "There is no such query for this key.",
    405: "The API is asked by GET.",
    410: "The answer that `page` is of is no longer kept, or has no such page.",
    429: "A limit of this key is reached.",
    500: "The query failed.",
    503: "Athena is busy, or gold has not been computed yet.",
}
_RETRIED = (429, 503)
_OF_THE_GATEWAY = (429, 500, 503)
"""What API Gateway says itself, without asking the function or where that gave no answer in time."""


def openapi(declared: Declared) -> dict[str, Any]:
    """Writes the document for environment prod."""
    project = declared.project("prod")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headwater query API",
            "version": "1",
            "description": "Generated from config/queries/ by `make docs`; edit the YAML. docs/query-api.md is the guide.",
        },
        "servers": [
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com",
                "variables": {"api": {"default": "api-id"}, "region": {"default": project.environment.region}},
            }
        ],
        "security": [{"key": []}],
        "paths": {f"/queries/{name}": {"get": _operation(project, query)} for name, query in project.queries.items()},
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": f"The consumer's key, of the secret `{QueryApi.secret}`.",
                }
            },
            "schemas": {
                "Problem": _PROBLEM_SCHEMA,
                "Running": _RUNNING_SCHEMA,
                "OfTheGateway": _OF_THE_GATEWAY_SCHEMA,
            },
            "headers": {"RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}},
        },
    }


def _operation(project: Project, query: Query) -> dict[str, Any]:
    return {
        "operationId": query.query,
        "summary": query.note,
        "tags": [query.owner],
        "parameters": [
            *(_parameter(name, declared) for name, declared in query.parameters.items()),
            _chosen(
                "format", "How rows are written.", {"type": "string", "enum": list(FORMATS), "default": FORMATS[0]}
            ),
            _chosen("page", "`next` of the page before, with all other parameters as they were.", {"type": "string"}),
        ],
        "responses": {
            "200": {
                "description": "One page of rows. `next` and the header Link lead to the page that follows.",
                "headers": {
                    "Link": {"description": 'The page that follows, rel="next".', "schema": {"type": "string"}}
                },
                "content": {
                    "application/json": {"schema": _rows(project, query)},
                    "text/csv": {"schema": {"type": "string"}},
                },
            },
            "202": {
                "description": "The query takes longer: ask again where Location says.",
                "headers": {
                    "Location": {"description": "Where to ask again.", "required": True, "schema": {"type": "string"}},
                    "Retry-After": {"$ref": "#/components/headers/RetryAfter"},
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Running"}}},
            },
            **{str(status): _problem(status, said) for status, said in _PROBLEMS.items()},
        },
    }


def _problem(status: int, said: str) -> dict[str, Any]:
    retried = {"headers": {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}} if status in _RETRIED else {}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if status in _OF_THE_GATEWAY:
        content["application/json"] = {"schema": {"$ref": "#/components/schemas/OfTheGateway"}}
    return {"description": said, **retried, "content": content}


def _parameter(name: str, declared: Parameter) -> dict[str, Any]:
    written = declared.model_dump(mode="json")
    match declared:
        case TextParameter(one_of=()):
            schema = {"type": "string", "maxLength": declared.longest, "pattern": ONE_LINE}
        case TextParameter():
            schema = {"type": "string", "enum": list(declared.one_of)}
        case IntegerParameter():
            schema = {"type": "integer", "minimum": declared.least, "maximum": declared.most}
        case DateParameter():
            # JSON Schema knows no bounds of dates.
            said = f"From {declared.least} to {declared.most}."
            schema = {"type": "string", "format": "date", "description": said}
    if declared.default is None:
        return {**_chosen(name, declared.note, schema), "required": True}
    return _chosen(name, declared.note, {**schema, "default": written["default"]})


def _chosen(name: str, note: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": note, "schema": schema}


def _rows(project: Project, query: Query) -> dict[str, Any]:
    columns = {name: _column(project, query, name, kind) for name, kind in selected(query, project.gold).items()}
    row = {"type": "object", "properties": columns, "required": list(columns), "additionalProperties": False}
    told = {
        "query": {"const": query.query},
        "version": {"type": "string", "description": "Names what gold held: another for each commit to what is read."},
        "columns": {
            "type": "array",
            "items": _COLUMN_SCHEMA,
            "description": "The columns in order, with Athena's types.",
        },
        "rows": {"type": "array", "items": row},
        "next": {
            "type": ["string", "null"],
            "description": "What `page` is of the page that follows; null at the end.",
        },
    }
    return {"type": "object", "properties": told, "required": list(told), "additionalProperties": False}


def _column(project: Project, query: Query, name: str, kind: exp.DataType) -> dict[str, Any]:
    if kind.is_type(*exp.DataType.NUMERIC_TYPES):
        schema: dict[str, Any] = {"type": ["number", "null"]}
    elif kind.is_type(exp.DataType.Type.BOOLEAN):
        schema = {"type": ["boolean", "null"]}
    else:
        schema = {"type": ["string", "null"]}
    if kind.is_type(exp.DataType.Type.DATE):
        schema["format"] = "date"
    notes = {column: declared.note for table in query.reads for column, declared in project.gold[table].columns.items()}
    return schema | ({"description": notes[name]} if name in notes else {})


_COLUMN_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "type": {"type": "string"}},
    "required": ["name", "type"],
    "additionalProperties": False,
}
_RUNNING_SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "status": {"const": "running"}, "next": {"type": "string"}},
    "required": ["query", "status", "next"],
    "additionalProperties": False,
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "What is wrong, in the form of RFC 9457.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": "string", "description": "What to do about it."},
    },
    "required": ["type", "title", "status", "detail", "hint"],
    "additionalProperties": False,
}
_OF_THE_GATEWAY_SCHEMA = {
    "type": "object",
    "description": "What API Gateway itself says, when the function has not answered.",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
    "additionalProperties": False,
}
