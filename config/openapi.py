"""The refusals of the API in its OpenAPI description.

Most follow from what an operation needs and takes. A view declares the others for each method:
`refuses = {"POST": (401, 429)}`.
"""

from typing import Any

from drf_spectacular import openapi
from drf_spectacular.utils import PolymorphicProxySerializer

Schema = dict[str, Any]

SENTENCES = {
    "400": "The `Authorization` header, the body or a field cannot be accepted.",
    "401": "No credential, or one that is not accepted.",
    "403": "No permission, or a cookie without a CSRF token.",
    "404": "Not found, or somebody else's.",
    "406": "The form asked for in `Accept` is not offered.",
    "409": "The name or the address is taken.",
    "413": "The body is larger than 64 KiB.",
    "415": "The body is not JSON.",
    "429": "Too many attempts.",
    "503": "The database is gone for the moment.",
}
REFUSAL = {
    "type": "object",
    "description": "Why it was refused: a sentence for people and a word for programs.",
    "properties": {
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "reason": {"type": "string", "description": "With `device_revoked`: how it ended."},
        "note": {"type": "string", "description": "With `device_revoked`: staff's own words."},
    },
    "required": ["detail", "code"],
}
FIELD_ERRORS = {
    "type": "object",
    "description": "What is wrong with each field.",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}
HEADERS = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    "429": {"Retry-After": {"schema": {"type": "integer"}, "required": True}},
    "503": {"Retry-After": {"schema": {"type": "integer"}, "required": True}},
}


class AutoSchema(openapi.AutoSchema):
    """drf-spectacular's own, with the refusals of each operation."""

    def get_operation(self, *args, **kwargs):
        operation = super().get_operation(*args, **kwargs)
        if operation is not None:
            declared = getattr(self.view, "refuses", {}).get(self.method, ())
            for status in sorted(_refusals_of(operation) | set(map(str, declared))):
                operation["responses"].setdefault(status, _answer(status))
        return operation

    def _get_request_body(self, direction="request"):
        """Require a body that may have several forms, which drf-spectacular leaves open."""
        body = super()._get_request_body(direction)
        if body and isinstance(self.get_request_serializer(), PolymorphicProxySerializer):
            body["required"] = True
        return body

    def _map_basic_serializer(self, serializer, direction):
        """Mark the fields in a serializer's `required_in_patch` as required, also in a PATCH."""
        schema = super()._map_basic_serializer(serializer, direction)
        required = getattr(serializer, "required_in_patch", ())
        return schema | {"required": list(required)} if required else schema


def add_refusals(result: Schema, generator: Any, **kwargs: Any) -> Schema:
    """Add the schemas that the refusals refer to. A postprocessing hook of drf-spectacular."""
    result["components"]["schemas"] |= {"Refusal": REFUSAL, "FieldErrors": FIELD_ERRORS}
    return result


def _refusals_of(operation: Schema) -> set[str]:
    """Return the statuses that follow from what an operation needs and takes."""
    refusals = {"406", "503"}
    parameters = operation.get("parameters", [])
    if "security" in operation:
        refusals |= {"400", "401", "403"}
    if "requestBody" in operation:
        refusals |= {"400", "413", "415"}
    if any(given["in"] == "path" or given["name"] == "page" for given in parameters):
        refusals.add("404")
    return refusals


def _answer(status: str) -> Schema:
    schema: Schema = {"$ref": "#/components/schemas/Refusal"}
    if status == "400":
        schema = {"anyOf": [schema, {"$ref": "#/components/schemas/FieldErrors"}]}
    answer = {"description": SENTENCES[status], "content": {"application/json": {"schema": schema}}}
    return answer | ({"headers": HEADERS[status]} if status in HEADERS else {})
