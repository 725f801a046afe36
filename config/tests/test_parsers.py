"""What the API reads: one JSON object, of bounded size and depth, that means one thing."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from config.parsers import MAX_BYTES, MAX_DEPTH, BodyTooLarge, StrictJSONParser

URL = "/api/v1/signup"
CREDENTIALS = {"username": "carol", "email": "carol@example.org", "password": "x7#qv mTz.4 pLw"}


@pytest.fixture
def post(client, db):
    client.raise_request_exception = False

    def send(body, content_type="application/json", **headers):
        if isinstance(body, str):
            body = body.encode()
        return client.generic("POST", URL, body, content_type=content_type, headers=headers)

    return send


def padded(size):
    """Good credentials as JSON of exactly `size` bytes."""
    body = json.dumps(CREDENTIALS | {"padding": ""})
    return body.replace('"padding": ""', f'"padding": "{"x" * (size - len(body))}"')


def nested(depth, opening="[", closing="]"):
    """Good credentials with a member that makes the body `depth` levels deep."""
    inner = opening * (depth - 1) + ("1" if opening == '{"a":' else "") + closing * (depth - 1)
    return json.dumps(CREDENTIALS)[:-1] + f', "deep": {inner}}}'


def assert_parse_error(answer, reason):
    assert answer.status_code == 400
    assert answer.json()["code"] == "parse_error"
    assert reason in answer.json()["detail"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("size", [1000, MAX_BYTES - 1, MAX_BYTES])
def test_body_of_the_largest_size_is_read(post, size):
    body = padded(size)
    assert len(body.encode()) == size
    assert post(body).status_code == 201


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 300 * 1024, 5 * 1024 * 1024])
def test_larger_body_is_refused(post, size):
    answer = post(padded(size))
    assert answer.status_code == 413
    assert answer.json() == {
        "detail": "The body is larger than 64 KiB.",
        "code": "body_too_large",
    }


def test_size_is_counted_in_bytes(post):
    body = json.dumps(CREDENTIALS | {"padding": "é" * (MAX_BYTES // 2)}, ensure_ascii=False)
    assert len(body) < MAX_BYTES
    assert post(body).status_code == 413


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(post, opening, closing):
    assert_parse_error(post(nested(MAX_DEPTH + 1, opening, closing)), "deeper than 20 levels")
    assert post(nested(MAX_DEPTH, opening, closing)).status_code == 201


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [900, 1000, 5000, 9000])
def test_absurd_depth_is_refused(post, opening, closing, depth):
    assert_parse_error(post(nested(depth, opening, closing)), "deeper than 20 levels")


def test_unclosed_depth_is_refused(post):
    assert post("[" * 60000).status_code == 400
    assert post('{"a":' * 13000).status_code == 400


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize(
    "body",
    [
        '{"username": "a", "username": "b"}',
        '{"username": "a", "user\\u006eame": "b"}',
        '{"a": {"b": 1, "b": 1}}',
        '{"a": [{"b": null, "b": null}]}',
    ],
)
def test_member_given_twice_is_refused(post, body):
    assert_parse_error(post(body), "a member is given twice")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_refused(post, constant):
    assert_parse_error(post(f'{{"a": {constant}}}'), f"{constant} is not JSON")


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 60000, "[1, " + "7" * 4400 + "]"])
def test_huge_integer_is_refused(post, number):
    assert_parse_error(post(f'{{"a": {number}}}'), "a number is too long")


@pytest.mark.parametrize("number", ["1" * 4000, "1e400", "-1e400", "1e-400", "0." + "1" * 9000])
@pytest.mark.parametrize("field", ["padding", "username", "password", "email"])
def test_large_number_is_no_server_error(post, number, field):
    body = json.dumps(CREDENTIALS | {field: "HERE"}).replace('"HERE"', number)
    assert post(body).status_code in (201, 400)


@pytest.mark.parametrize(
    "text", ['"\\ud800"', '"\\udc00\\ud800"', '["\\udfff"]', '{"\\ud800": 1}', '"\\ud83d"']
)
def test_lone_surrogate_is_refused(post, text):
    assert_parse_error(post(f'{{"a": {text}}}'), "it is not UTF-8 text")


def test_pair_of_surrogates_is_a_character(post):
    body = json.dumps(CREDENTIALS | {"padding": "🔑"})
    assert "\\ud83d" in body
    assert post(body).status_code == 201


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "\xff"}',
        b'{"a": "\xc3\x28"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
    ],
)
def test_other_encodings_are_refused(post, body):
    assert_parse_error(post(body), "not valid JSON")
    assert_parse_error(post(body, "application/json; charset=utf-16"), "not valid JSON")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("{", "line 1, column 2"),
        ('{"a": 1,}', "line 1, column 9"),
        ('{"a":\n 01}', "line 2, column 3"),
        ("{'a': 1}", "line 1, column 2"),
        ('{"a": 1} {}', "line 1, column 10"),
        ('{"a": "new\nline"}', "line 1, column 11"),
        ('{"a": 1 // comment\n}', "line 1, column 9"),
        ("\ufeff{}", "line 1, column 1"),
        (" ", "line 1, column 2"),
        ("nul\0", "line 1, column 1"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(post, body, where):
    assert_parse_error(post(body), where)


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null", "true", "[{}]"])
def test_what_is_no_object_is_refused(post, body):
    assert_parse_error(post(body), "must be a JSON object")


def test_refusal_repeats_nothing_of_the_body(post):
    answer = post('{"password": "my secret sentence" "x"}')
    assert "secret" not in answer.content.decode()


def test_empty_body_is_an_empty_object(post):
    answer = post("")
    assert answer.status_code == 400
    assert set(answer.json()) == {"username", "email", "password"}


@pytest.mark.asvs("3.5.2")
@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/xml",
        "application/vnd.api+json",
        "nonsense",
    ],
)
def test_other_media_types_are_415(post, content_type):
    answer = post(json.dumps(CREDENTIALS), content_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_read(post, content_type):
    assert post(json.dumps(CREDENTIALS), content_type).status_code == 201


# Any bytes at all

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)
pieces = st.sampled_from([b"{", b"}", b"[", b"]", b'"', b'"a"', b":", b",", b"1e999", b"\\ud800"])


def read(body):
    """What the parser makes of the body, None for a refusal that the contract names."""
    try:
        return StrictJSONParser().parse(io.BytesIO(body))
    except (ParseError, BodyTooLarge):
        return None


@given(st.binary() | st.lists(pieces | st.binary(max_size=3)).map(b"".join))
def test_any_bytes_are_one_object_or_refused(body):
    found = read(body)
    assert found is None or found == json.loads(body)
    assert found is None or isinstance(found, dict)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values), st.booleans())
def test_any_object_is_read_as_it_was_written(content, ascii_only):
    assert read(json.dumps(content, ensure_ascii=ascii_only).encode()) == content


@given(json_values, st.binary(min_size=1, max_size=5), st.data())
def test_json_with_some_bytes_changed_is_one_object_or_refused(value, noise, data):
    body = json.dumps({"a": value}).encode()
    at = data.draw(st.integers(0, len(body)))
    found = read(body[:at] + noise + body[at:])
    assert found is None or isinstance(found, dict)
