"""The reference of the query API, made from its OpenAPI document, as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = """# API reference

Generated from config/queries/ by `make docs`; edit the YAML, not this page. [openapi.json](openapi.json) says the same to
programs, and [query-api.md](query-api.md) how to ask from Power BI, Excel, Grafana and others.

Each call carries its consumer's key in the header `x-api-key`. Rows come as JSON or CSV, page by page.
"""


def api_page(document: Mapping[str, Any]) -> str:
    """Writes the page of an OpenAPI document."""
    lines = [_HEAD]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += _operation(f"{method.upper()} {path}", operation)
    return "\n".join(lines)


def _operation(name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {name}", "", f"{operation['summary']} Owner: {', '.join(operation['tags'])}.", "")
    yield from ("| parameter | values | default | what it is |", "|---|---|---|---|")
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        default = "required" if parameter.get("required") else str(schema.get("default", ""))
        yield f"| `{parameter['name']}` | {_values(schema)} | {default} | {parameter['description']} |"
    columns = _columns(operation)
    if columns:
        yield from ("", "| column | what it is |", "|---|---|")
        yield from (f"| `{column}` | {schema.get('description', '')} |" for column, schema in columns.items())
    yield from ("", "| status | when |", "|---|---|")
    for status, answer in operation["responses"].items():
        yield f"| {status} | {answer.get('description', answer.get('$ref', '').rpartition('/')[2])} |"
    yield ""


def _values(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    bounds = [str(schema[bound]) for bound in ("minimum", "maximum") if bound in schema]
    told = schema.get("format", schema["type"])
    return f"{told}, {' to '.join(bounds)}" if bounds else f"{told}. {schema.get('description', '')}".rstrip(". ")


def _columns(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation["responses"]["200"]["content"]["application/json"]["schema"]
    columns: dict[str, Any] = content["properties"]["rows"]["items"]["properties"]
    return columns
