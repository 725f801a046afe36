"""Requests with refresh tokens, and how they are refused."""

CHALLENGE = 'Bearer realm="api", error="invalid_token"'


def refresh(client, token=None, key=None, **headers):
    if key is not None:
        headers["idempotency-key"] = key
    body = {"refresh_token": token or client.pair["refresh_token"]}
    headers.setdefault("authorization", "")
    return client.post("refresh", body, **headers)


def assert_refused(answer, code):
    assert answer.status_code == 401, answer.content
    assert answer.json()["code"] == code
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.headers["Cache-Control"] == "no-store"
