"""What the API accepts as a body."""

import json

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20


class BodyTooLarge(APIException):
    status_code = 413
    default_code = "body_too_large"
    default_detail = f"The body is larger than {MAX_BYTES // 1024} KiB."


class StrictJSONParser(JSONParser):
    """One JSON object in UTF-8: at most 64 KiB and 20 levels deep, no duplicate members.

    Any other body raises ParseError or BodyTooLarge. RFC 8259 lets each reader decide about
    duplicate members and lone surrogates. This one refuses both.
    """

    def parse(self, stream, media_type=None, parser_context=None):
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise BodyTooLarge
        try:
            data = json.loads(
                body.decode("utf-8"),
                object_pairs_hook=_unique_members,
                parse_constant=_refuse_constant,
            )
            json.dumps(data, ensure_ascii=False).encode("utf-8")  # fails on a lone surrogate
            depth = _depth(data)
        except RecursionError:
            depth = MAX_DEPTH + 1
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {_reason(error)}.") from None
        if depth > MAX_DEPTH:
            raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


class _Refused(ValueError):
    """JSON that Python would read and this parser refuses. Its text goes into the answer."""


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Refused("a member is given twice")
    return members


def _refuse_constant(name: str) -> object:
    raise _Refused(f"{name} is not JSON")


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return str(error) if isinstance(error, _Refused) else "a number is too long"


def _depth(value: object) -> int:
    """How many levels of objects and lists `value` has; 0 for a plain value."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
