"""The refusals that operations of the API share, in its OpenAPI description."""

from typing import Any

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
# What an operation refuses beside what its shape says.
OWN = {
    "login_create": {"401", "429"},
    "refresh_create": {"401"},
    "signup_create": {"403", "409", "429"},
    "reauthenticate_create": {"429"},
    "password_create": {"429"},
    "me_partial_update": {"409", "429"},
    "devices_list": {"400"},
    "users_devices_list": {"400"},
    "roles_create": {"409"},
    "roles_partial_update": {"409"},
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


def add_refusals(result: Schema, generator: Any, **kwargs: Any) -> Schema:
    """A postprocessing hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    schemas |= {"Refusal": REFUSAL, "FieldErrors": FIELD_ERRORS}
    # drf-spectacular takes every PATCH for a partial update.
    schemas["PatchedProfileRequest"]["required"] = ["current_password"]
    for path, operations in result["paths"].items():
        for operation in operations.values():
            for status in sorted(_refusals_of(path, operation)):
                operation["responses"].setdefault(status, _answer(status))
    return result


def _refusals_of(path: str, operation: Schema) -> set[str]:
    """The statuses that follow from what an operation needs and takes."""
    refusals = {"406", "503"} | OWN.get(operation["operationId"], set())
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
