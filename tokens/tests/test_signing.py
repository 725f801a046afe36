"""Which token is ours. Every spelling of another one is refused, before or after its signature."""

import base64
import contextlib
import hashlib
import hmac
import json
import string
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tokens import flows, signing
from tokens.keys import DevelopmentKeys, KeyRing, generate_signing_key, read_signing_keys
from tokens.models import IssuedToken

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
SID = "A" * 43
NOT_OURS = 'Bearer realm="api", error="invalid_token"'


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(**changes):
    """Valid claims; a claim that is given as `...` is left out."""
    now = int(time.time())
    claims = {
        "iss": "https://testserver",
        "aud": "https://testserver",
        "sub": "1",
        "sid": SID,
        "gen": 1,
        "jti": "x",
        "iat": now,
        "exp": now + 300,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def access_token(**changes):
    values = {"sub": "1", "sid": SID, "gen": 1, "lifetime": 300, "moment": timezone.now()}
    values |= changes
    return signing.sign_access_token(**values)


def refused(token, typ=signing.ACCESS):
    try:
        signing.verify(token, typ)
    except signing.InvalidToken:
        return True
    return False


@pytest.fixture(params=["HS256", "EdDSA"])
def ring(request, settings):
    """A ring of one new key, for each algorithm."""
    settings.JWT_SIGNING_KEYS = [generate_signing_key(request.param)]
    return signing.key_ring()


# What is accepted


def test_signed_token_verifies(ring):
    moment = datetime(2030, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)
    claims = signing.verify(access_token(sub="7", gen=3, moment=moment), signing.ACCESS)

    assert (claims.sub, claims.sid, claims.gen) == ("7", SID, 3)
    assert (claims.nbf, claims.exp) == (0, int(moment.timestamp()) + 300)


def test_token_says_who_made_it_for_whom_and_when(ring, read_segment):
    moment = datetime(2030, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)

    token = access_token(sub="7", gen=3, moment=moment)

    claims = read_segment(token)
    assert set(claims) == {"iss", "aud", "sub", "sid", "gen", "jti", "iat", "exp"}
    assert claims["iss"] == claims["aud"] == "https://testserver"
    assert claims["iat"] == int(moment.timestamp())
    assert claims["exp"] == claims["iat"] + 300
    assert len(claims["jti"]) == 22  # 128 bits
    compact = json.dumps(claims, separators=(",", ":")).encode()
    assert token.split(".")[1] == encode(compact)


@pytest.mark.parametrize("typ", [signing.ACCESS, signing.REFRESH])
def test_header_is_three_members_in_constant_order(ring, typ, forge):
    header = forge(claims_of(), typ=typ).split(".")[0]
    key = ring.keys[0]

    text = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)).decode()
    assert text == f'{{"alg":"{key.alg}","kid":"{key.kid}","typ":"{typ}"}}'


def test_forged_by_the_ring_itself_is_accepted(ring, forge):
    """The forger of these tests makes what verifies, so its refusals are those of the change."""
    assert signing.verify(forge(claims_of()), signing.ACCESS).sid == SID


def test_issued_at_is_checked_for_its_type_only(forge):
    for iat in (int(time.time()) + 10_000, 0, 2**53):
        assert signing.verify(forge(claims_of(iat=iat)), signing.ACCESS).sid == SID


def test_times_are_told_and_not_judged(forge):
    """The flows compare them with the time of the database, which is read with the row."""
    for nbf, exp in [(0, 0), (2**53, 0), (1, 2**53)]:
        claims = signing.verify(forge(claims_of(nbf=nbf, exp=exp)), signing.ACCESS)
        assert (claims.nbf, claims.exp) == (nbf, exp)


@pytest.mark.asvs("9.2.1")
def test_not_before_is_honoured(api, alice, forge, read_segment, django_assert_num_queries):
    phone = api(alice)
    assert phone.get("me").status_code == 200
    claims, now = read_segment(phone.pair["access_token"]), int(time.time())

    for nbf in (0, now - 10, now):
        assert bearer(phone, forge(claims | {"nbf": nbf})).status_code == 200
    for nbf in (now + 1000, 2**53):
        with django_assert_num_queries(1):
            assert_token_invalid(bearer(phone, forge(claims | {"nbf": nbf})))


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("value", [True, 1.0, "1", None, [], {}, 10**30, 2**53 + 1, -1])
def test_odd_not_before_is_refused(forge, value):
    assert refused(forge(claims_of(nbf=value)))


def test_unknown_claim_is_ignored(forge):
    assert not refused(forge(claims_of(scope="everything", admin=True)))


# Before the signature


def spellings_of_none():
    for alg in ("none", "None", "NONE", "nOnE", "none ", " none", "", None, 0, [], ["HS256"]):
        yield {"alg": alg, "typ": "at+jwt"}
        yield {"alg": alg, "typ": "at+jwt", "kid": "{kid}"}
    yield {}


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("header", list(spellings_of_none()), ids=json.dumps)
@pytest.mark.parametrize("signature", ["", "AA", "real"])
def test_unsigned_token_is_refused(forge, header, signature):
    if "kid" in header:
        header = header | {"kid": signing.key_ring().keys[0].kid}
    token = forge(claims_of(), header)
    if signature != "real":
        token = f"{token.rpartition('.')[0]}.{signature}"

    assert refused(token)


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize(
    "alg", ["HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "Ed25519", "hs256", "HS256 "]
)
def test_another_algorithm_is_refused(forge, alg):
    kid = signing.key_ring().keys[0].kid

    assert refused(forge(claims_of(), {"alg": alg, "kid": kid, "typ": "at+jwt"}))


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize("kid", ["", "other", "../../dev/null", "' OR 1=1 --", None, 1, [], ...])
def test_unknown_kid_is_refused(forge, kid):
    header = {"alg": "HS256", "kid": kid, "typ": "at+jwt"}
    if kid is ...:
        del header["kid"]

    assert refused(forge(claims_of(), json.dumps(header, separators=(",", ":")).encode()))


@pytest.mark.asvs("9.2.2")
@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "at+JWT", "AT+JWT", "application/at+jwt", "", None, ..., "rt+jwt"]
)
def test_another_type_is_refused(forge, typ):
    header = {"alg": "HS256", "kid": signing.key_ring().keys[0].kid, "typ": typ}
    if typ is ...:
        del header["typ"]

    assert refused(forge(claims_of(), json.dumps(header, separators=(",", ":")).encode()))


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize(
    "member",
    [
        '"crit":["exp"]',
        '"crit":[]',
        '"jku":"https://evil.example/keys"',
        '"jwk":{"kty":"oct","k":"AAAA"}',
        '"x5u":"https://evil.example/cert"',
        '"x5c":["AAAA"]',
        '"x5t":"AAAA"',
        '"x5t#S256":"AAAA"',
        '"zip":"DEF"',
        '"cty":"JWT"',
        '"b64":false',
        '"alg":"none"',
        '"alg":"HS256"',
        '"kid":"other"',
        '"typ":"at+jwt"',
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_header_with_one_member_more_is_refused_though_validly_signed(forge, member, first):
    kid = signing.key_ring().keys[0].kid
    ours = f'"alg":"HS256","kid":"{kid}","typ":"at+jwt"'
    header = f"{{{member},{ours}}}" if first else f"{{{ours},{member}}}"

    assert refused(forge(claims_of(), header.encode()))


@pytest.mark.parametrize(
    "header",
    [
        '{"typ":"at+jwt","alg":"HS256","kid":"%s"}',
        '{"alg":"HS256","typ":"at+jwt","kid":"%s"}',
        '{"alg": "HS256", "kid": "%s", "typ": "at+jwt"}',
        ' {"alg":"HS256","kid":"%s","typ":"at+jwt"}',
        '{"alg":"HS256","kid":"%s","typ":"at+jwt"}\n',
        '{"alg":"HS256","kid":"%s","typ":"at\\u002bjwt"}',
        '\ufeff{"alg":"HS256","kid":"%s","typ":"at+jwt"}',
        '{"alg":"HS256","kid":"%s","typ":"at+jwt"}\0',
        '["alg","HS256","kid","%s","typ","at+jwt"]',
    ],
)
def test_same_header_in_other_bytes_is_refused(forge, header):
    header %= signing.key_ring().keys[0].kid

    assert refused(forge(claims_of(), header.encode()))
    assert refused(forge(claims_of(), header.encode("utf-16")))


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("suffix", ["=", "==", "===", "\n", " ", "%3D", "A", "AA", "é", "\0", "+"])
def test_segment_with_something_after_it_is_refused(ring, position, suffix):
    segments = access_token().split(".")
    segments[position] += suffix

    assert refused(".".join(segments))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_other_spellings_of_the_last_character_are_refused(ring, forge, position):
    """The last character of a segment can hold bits that decoding drops: four or sixteen ways to
    write the same bytes, of which one is ours."""
    tried = 0
    for length in range(3):
        segments = forge(claims_of(jti="x" * length)).split(".")
        kept = {2: 0b110000, 3: 0b111100}.get(len(segments[position]) % 4, 0b111111)
        last = ALPHABET.index(segments[position][-1])
        for other in range(64):
            if other != last and other & kept == last & kept:
                same = [*segments]
                same[position] = segments[position][:-1] + ALPHABET[other]
                assert refused(".".join(same)), same[position]
                tried += 1
    # A header's length is the kid's affair; the others come in every length.
    assert tried or position == 0


@pytest.mark.parametrize("position", [1, 2])
def test_standard_base64_alphabet_is_refused(forge, position):
    token = next(
        token
        for length in range(1000)
        if set("-_") & set((token := forge(claims_of(jti="~?" * length))).split(".")[position])
    )
    segments = token.split(".")
    segments[position] = segments[position].replace("-", "+").replace("_", "/")

    assert not refused(token)
    assert refused(".".join(segments))


def broken_apart():
    yield from ["", ".", "..", "...", "a.b.c", "a", "a.b", "a.b.c.d", "\0", "\ud800.\ud800.\ud800"]
    yield from [lambda token: token.replace(".", "..", 1), lambda token: f".{token}"]
    yield from [lambda token: f"{token}.", lambda token: f"{token}.{token.split('.')[2]}"]
    yield from [
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
    ]
    yield from [lambda token: token.partition(".")[2], lambda token: "." + token.partition(".")[2]]
    yield from [lambda token: f" {token}", lambda token: f"{token}\n", lambda token: token[::-1]]
    yield from [lambda token: token.upper(), lambda token: token.lower(), lambda token: token * 2]
    yield lambda token: ".".join([token.split(".")[0], "", token.split(".")[2]])
    yield lambda token: json.dumps(
        dict(zip(["protected", "payload", "signature"], token.split("."), strict=True))
    )


@pytest.mark.parametrize("made", list(broken_apart()))
def test_what_is_not_three_segments_is_refused(ring, made):
    assert refused(made if isinstance(made, str) else made(access_token()))


def test_token_of_4096_characters_is_the_longest(settings, forge):
    def of_length(length):
        """No segment of base64url has 4n + 1 characters, so one kid does not make all lengths."""
        for kid in ("k", "kk"):
            settings.JWT_SIGNING_KEYS = [{**key, "kid": kid}]
            for padding in range(length * 3 // 4 - 400, length):
                token = forge(claims_of(jti="x" * padding))
                if len(token) == length:
                    return token
                if len(token) > length:
                    break
        raise AssertionError

    key = generate_signing_key()
    assert not refused(of_length(4096))
    assert refused(of_length(4097))
    assert refused("a" * 1_000_000)


@pytest.mark.asvs("7.2.1", "9.1.1")
@pytest.mark.parametrize("position", [1, 2])
def test_one_changed_bit_is_refused(ring, position):
    segments = access_token().split(".")
    changed = ALPHABET[ALPHABET.index(segments[position][0]) ^ 1]
    segments[position] = changed + segments[position][1:]

    assert refused(".".join(segments))


@pytest.mark.asvs("9.1.1")
@pytest.mark.parametrize("length", [1, 16, 31, 33, 63, 65, 128])
def test_signature_of_another_length_is_refused(ring, length):
    message = access_token().rpartition(".")[0]

    assert refused(f"{message}.{encode(bytes(length))}")


# After the signature


INTEGERS = ["gen", "iat", "exp"]
STRINGS = ["iss", "aud", "sub", "sid", "jti"]


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("claim", INTEGERS + STRINGS)
def test_missing_claim_is_refused(forge, claim):
    assert refused(forge(claims_of(**{claim: ...})))


@pytest.mark.asvs("9.2.1", "15.3.5")
@pytest.mark.parametrize("claim", INTEGERS)
@pytest.mark.parametrize(
    "value",
    [
        "true",
        "false",
        "null",
        "1.0",
        "2000000000.0",
        "2e9",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        '"2000000000"',
        '"1"',
        "[1]",
        "{}",
        "-1",
        "-0.0",
        "9007199254740993",
        "9" * 20,
        "9" * 2500,
        "-" + "9" * 2500,
    ],
)
def test_mistyped_integer_is_refused(forge, claim, value):
    payload = json.dumps(claims_of(**{claim: "HERE"})).replace('"HERE"', value)

    assert refused(forge(payload.encode()))


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("claim", STRINGS)
@pytest.mark.parametrize("value", [1, 1.5, True, None, [], ["https://testserver"], {}])
def test_mistyped_string_is_refused(forge, claim, value):
    assert refused(forge(claims_of(**{claim: value})))


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("claim", INTEGERS + STRINGS)
def test_claim_given_twice_is_refused(forge, claim):
    claims = claims_of()
    member = f"{json.dumps(claim)}:{json.dumps(claims[claim])}"
    payload = json.dumps(claims)

    assert refused(forge(f"{payload[:-1]},{member}}}".encode()))
    assert refused(forge(f"{{{member},{payload[1:]}".encode()))


def test_unknown_claim_given_twice_is_refused(forge):
    assert refused(forge((json.dumps(claims_of())[:-1] + ',"x":1,"x":1}').encode()))
    assert refused(forge((json.dumps(claims_of())[:-1] + ',"x":{"y":1,"y":2}}').encode()))


@pytest.mark.asvs("9.2.3", "9.2.4", "10.3.1")
@pytest.mark.parametrize(
    "value",
    [
        "https://testserver/",
        "https://testserver.evil.example",
        "https://testserve",
        "http://testserver",
        "HTTPS://TESTSERVER",
        " https://testserver",
        "https://testserver\0",
        "",
        "*",
    ],
)
@pytest.mark.parametrize("claim", ["iss", "aud"])
def test_wrong_issuer_or_audience_is_refused(forge, claim, value):
    assert refused(forge(claims_of(**{claim: value})))


@pytest.mark.parametrize(
    "sid", ["", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "\n", "é" * 43, "\ud800" * 43]
)
def test_sid_that_is_no_handle_is_refused(forge, sid):
    assert refused(forge(claims_of(sid=sid)))


def odd_payloads():
    good = json.dumps(claims_of())
    yield b"\xef\xbb\xbf" + good.encode()
    yield from [good.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")]
    yield from [b"\xff" + good.encode(), good.encode() + b"\xff", good.encode() + b"\0"]
    yield from [good.replace('"x"', '"\xe9"').encode("latin-1"), good.encode() * 2]
    yield from [b"null", b"1", b'"text"', b"[]", f"[{good}]".encode(), b"true", b"{}", b"{", b" "]
    yield from [b"[" * 2900, b'{"a":' * 580, b"[" * 1000 + b"]" * 1000, b"NaN", b"\0"]
    yield good.replace("{", '{"deep":' + "[" * 1200 + "]" * 1200 + ",", 1).encode()
    yield from [
        good.replace('"', "'").encode(),
        (good[:-1] + ",}").encode(),
        b"// \n" + good.encode(),
    ]


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("payload", list(odd_payloads()), ids=lambda payload: f"{len(payload)} B")
def test_validly_signed_odd_payload_is_refused(forge, payload):
    assert refused(forge(payload))


def test_expired_token_of_another_issuer_is_not_ours(forge):
    assert refused(forge(claims_of(exp=1, iss="https://other.example")))


# Two types, two rings


@pytest.mark.asvs("9.2.2")
def test_refresh_token_is_no_access_token_and_the_other_way_round(ring):
    now = timezone.now()
    refresh = signing.sign_refresh_token(
        sub="1", sid=SID, gen=1, moment=now, end=now + timedelta(seconds=300)
    )

    assert not refused(refresh, signing.REFRESH)
    assert refused(refresh, signing.ACCESS)
    assert refused(access_token(), signing.REFRESH)


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
def test_token_of_a_second_ring_is_refused(settings, alg):
    """Also where the kid is the same: the signature decides."""
    first = generate_signing_key(alg)
    settings.JWT_SIGNING_KEYS = [first]
    token = access_token()

    settings.JWT_SIGNING_KEYS = [generate_signing_key(alg)]
    assert refused(token)

    settings.JWT_SIGNING_KEYS = [generate_signing_key(alg) | {"kid": first["kid"]}]
    assert refused(token)


@pytest.mark.asvs("11.2.2")
@pytest.mark.parametrize("old", ["HS256", "EdDSA"])
@pytest.mark.parametrize("new", ["HS256", "EdDSA"])
def test_key_rotation(settings, read_segment, old, new):
    former, current = generate_signing_key(old), generate_signing_key(new)
    settings.JWT_SIGNING_KEYS = [former]
    token = access_token()

    settings.JWT_SIGNING_KEYS = [current, former]
    assert not refused(token)
    assert read_segment(access_token(), 0)["kid"] == current["kid"]

    settings.JWT_SIGNING_KEYS = [current]
    assert refused(token)


def test_public_key_verifies_and_does_not_sign(settings):
    private = generate_signing_key("EdDSA")
    settings.JWT_SIGNING_KEYS = [private]
    token = access_token()
    public = {name: value for name, value in private.items() if name != "d"}

    settings.JWT_SIGNING_KEYS = [generate_signing_key(), public]
    assert not refused(token)

    with pytest.raises(ImproperlyConfigured, match=r"JWT_SIGNING_KEYS.*private"):
        KeyRing([public])


@pytest.mark.asvs("9.1.2")
def test_public_key_is_no_shared_secret(settings):
    """The old confusion: an HMAC keyed with the public key that everybody knows."""
    jwk = generate_signing_key("EdDSA")
    settings.JWT_SIGNING_KEYS = [jwk]
    public = base64.urlsafe_b64decode(jwk["x"] + "=")
    payload = encode(json.dumps(claims_of()).encode())
    for header in (
        signing.key_ring().keys[0].header[signing.ACCESS],
        encode(f'{{"alg":"HS256","kid":"{jwk["kid"]}","typ":"at+jwt"}}'.encode()),
    ):
        for secret in (public, jwk["x"].encode(), json.dumps(jwk).encode(), b""):
            message = f"{header}.{payload}"
            seal = hmac.new(secret, message.encode(), hashlib.sha256).digest()
            assert refused(f"{message}.{encode(seal)}")


@pytest.mark.asvs("9.1.3")
def test_secret_key_signs_no_token(settings):
    header = signing.key_ring().keys[0].header[signing.ACCESS]
    message = f"{header}.{encode(json.dumps(claims_of()).encode())}"
    seal = hmac.new(settings.SECRET_KEY.encode(), message.encode(), hashlib.sha256).digest()

    assert refused(f"{message}.{encode(seal)}")


def test_twin_of_an_eddsa_signature_is_refused(settings):
    """S and S + L verify the same equation; RFC 8032 wants S below L."""
    settings.JWT_SIGNING_KEYS = [generate_signing_key("EdDSA")]
    order = 2**252 + 27742317777372353535851937790883648493
    message, _, signature = access_token().rpartition(".")
    seal = base64.urlsafe_b64decode(signature + "==")
    s = int.from_bytes(seal[32:], "little") + order

    assert refused(f"{message}.{encode(seal[:32] + s.to_bytes(32, 'little'))}")


# Keys


def jwk_of(private_key, alg):
    algorithm = jwt.get_algorithm_by_name(alg)
    return {**algorithm.to_jwk(private_key, as_dict=True), "alg": alg, "kid": "k"}


RSA_KEY = jwk_of(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256")
EC_KEY = jwk_of(ec.generate_private_key(ec.SECP256R1()), "ES256")
ED448_KEY = jwk_of(ed448.Ed448PrivateKey.generate(), "EdDSA")
OCT_KEY = generate_signing_key()
ED_KEY = generate_signing_key("EdDSA")


@pytest.mark.asvs("9.1.2", "11.2.3")
@pytest.mark.parametrize(
    "jwk",
    [
        RSA_KEY,
        RSA_KEY | {"alg": "HS256"},
        RSA_KEY | {"alg": "EdDSA"},
        EC_KEY,
        EC_KEY | {"alg": "EdDSA"},
        ED448_KEY,
        ED448_KEY | {"crv": "Ed25519"},
        OCT_KEY | {"alg": "EdDSA"},
        OCT_KEY | {"alg": "HS384"},
        OCT_KEY | {"alg": "HS512"},
        OCT_KEY | {"alg": "none"},
        OCT_KEY | {"alg": None},
        OCT_KEY | {"alg": ["HS256"]},
        OCT_KEY | {"alg": {}},
        OCT_KEY | {"kty": "OKP"},
        OCT_KEY | {"kty": None},
        OCT_KEY | {"kty": []},
        OCT_KEY | {"k": ""},
        OCT_KEY | {"k": encode(b"x" * 31)},
        OCT_KEY | {"k": None},
        OCT_KEY | {"k": 5},
        OCT_KEY | {"k": "é" * 43},
        OCT_KEY | {"k": "!" * 43},
        OCT_KEY | {"kid": ""},
        OCT_KEY | {"kid": None},
        OCT_KEY | {"kid": 1},
        OCT_KEY | {"kid": "é"},
        OCT_KEY | {"kid": "a\nb"},
        OCT_KEY | {"kid": "a" * 65},
        {name: value for name, value in OCT_KEY.items() if name != "kid"},
        {name: value for name, value in OCT_KEY.items() if name != "alg"},
        {name: value for name, value in OCT_KEY.items() if name != "kty"},
        {name: value for name, value in OCT_KEY.items() if name != "k"},
        ED_KEY | {"alg": "HS256"},
        ED_KEY | {"crv": "X25519"},
        ED_KEY | {"crv": None},
        ED_KEY | {"d": "AAAA"},
        ED_KEY | {"d": None},
        ED_KEY | {"x": "AAAA", "d": "AAAA"},
        {name: value for name, value in ED_KEY.items() if name not in "xd"},
        None,
        "text",
        1,
        [],
        [OCT_KEY],
    ],
)
def test_unusable_key_stops_the_start_and_is_not_repeated(jwk):
    with pytest.raises(ImproperlyConfigured, match=r"^JWT_SIGNING_KEYS: key 2") as caught:
        KeyRing([generate_signing_key(), jwk])

    assert_tells_no_secret(str(caught.value), jwk)


def assert_tells_no_secret(text, jwk):
    for name in ("k", "d", "p", "q", "n", "x"):
        value = jwk.get(name) if isinstance(jwk, dict) else None
        if isinstance(value, str) and len(value) > 3:
            assert value not in text


@pytest.mark.parametrize(
    "change", [{"k": encode(bytes(range(16)) * 2)}, {"kid": "~" * 64}, {"kid": " "}]
)
def test_key_just_within_the_bounds_is_usable(change):
    assert KeyRing([OCT_KEY | change]).keys[0].can_sign


def test_two_keys_of_one_kid_stop_the_start():
    twins = [generate_signing_key() | {"kid": "same"} for _ in range(2)]

    with pytest.raises(ImproperlyConfigured, match=r"JWT_SIGNING_KEYS.*kid") as caught:
        KeyRing(twins)

    for twin in twins:
        assert_tells_no_secret(str(caught.value), twin)


def test_empty_ring_stops_the_start():
    with pytest.raises(ImproperlyConfigured, match="JWT_SIGNING_KEYS"):
        KeyRing([])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "secret-not-json",
        "{",
        "null",
        "5",
        '"secret-text"',
        '[{"k":"secret"}]',
        '{"keys":{"k":"secret"}}',
        '{"keys":"secret"}',
        '{"key":["secret"]}',
        "secret\ud800",
        "secret" + "[" * 100_000,
        "[" * 100_000,
    ],
    ids=lambda value: f"{len(value)} characters",
)
def test_keys_that_are_no_jwk_set_stop_the_start(value):
    with pytest.raises(ImproperlyConfigured, match="JWT_SIGNING_KEYS") as caught:
        read_signing_keys(value, None, None)

    assert "secret" not in str(caught.value)


def test_keys_are_read_from_a_file(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [OCT_KEY]}))

    assert read_signing_keys("", path, None) == [OCT_KEY]
    with pytest.raises(ImproperlyConfigured, match="JWT_SIGNING_KEYS_FILE"):
        read_signing_keys("", tmp_path / "absent.json", None)


def test_empty_file_of_keys_is_refused_also_in_development(tmp_path):
    """A shell empties a file before the command that is to fill it fails."""
    path = tmp_path / "keys.json"
    path.write_text("\n")
    for development in (None, DevelopmentKeys(tmp_path / ".dev-keys.json")):
        with pytest.raises(ImproperlyConfigured, match="JWT_SIGNING_KEYS_FILE is empty"):
            read_signing_keys("", path, development)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "alg", "kid", "k", "crv", "x", "d", "use", "key_ops"]),
        st.sampled_from(["oct", "OKP", "HS256", "EdDSA", "Ed25519", ED_KEY["d"], OCT_KEY["k"]])
        | st.none()
        | st.integers()
        | st.text(st.characters(exclude_categories=())),
    )
)
def test_any_jwk_is_usable_or_improper(jwk):
    try:
        key = KeyRing([jwk]).keys[0]
    except ImproperlyConfigured:
        return
    assert key.verify(b"message", key.sign(b"message"))


@pytest.mark.asvs("11.2.3")
@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
def test_new_key_signs_and_has_a_kid_of_its_own(alg):
    keys = [generate_signing_key(alg) for _ in range(100)]

    assert len({key["kid"] for key in keys}) == 100
    assert len({key.get("k") or key["d"] for key in keys}) == 100
    KeyRing(keys)


@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
def test_no_repr_holds_a_secret(alg, alice):
    jwk = generate_signing_key(alg)
    ring = KeyRing([jwk])
    device = IssuedToken(pk="00000000-0000-4000-8000-000000000000", user=alice)
    pair = flows.Pair(device=device, access_token="eyJ1", refresh_token="eyJ2", expires_in=300)
    claims = signing.Claims(sub="1", sid=SID, gen=1, exp=1, nbf=0)

    private = ed25519.Ed25519PrivateKey if alg == "EdDSA" else bytes
    assert isinstance(ring.keys[0].key, private)
    for thing in (ring, ring.keys[0], pair, claims, device):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert_tells_no_secret(text, jwk)
            assert "eyJ" not in text
            assert SID not in text
            assert repr(ring.keys[0].key) not in text


# Any text at all

any_text = st.text(st.characters(exclude_categories=()))
segments = st.text(ALPHABET + "=+/. \n\0é", max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def verify_any(token):
    for typ in (signing.ACCESS, signing.REFRESH):
        with contextlib.suppress(signing.InvalidToken):
            signing.verify(token, typ)


@given(any_text | st.lists(segments, max_size=5).map(".".join) | st.binary().map(bytes.hex))
def test_any_text_is_refused_quietly(token):
    assert refused(token)
    assert refused(token, signing.REFRESH)


@given(st.data())
def test_mutated_token_is_refused_quietly(data):
    token = access_token()
    start = data.draw(st.integers(0, len(token) - 1))
    end = data.draw(st.integers(start + 1, len(token)))
    piece = data.draw(segments | any_text)
    mutated = token[:start] + piece + token[end:]

    verify_any(mutated)
    if mutated != token:
        assert refused(mutated)


@given(json_values)
def test_any_signed_json_is_refused_quietly(forge, value):
    assert refused(forge(json.dumps(value).encode()))


@given(st.dictionaries(st.sampled_from([*signing.CLAIM_TYPES]), json_values))
def test_any_signed_claims_are_refused_quietly(forge, changes):
    verify_any(forge(claims_of(**changes)))


@given(st.binary(max_size=2000))
def test_any_signed_bytes_are_refused_quietly(forge, payload):
    assert refused(forge(payload))


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_header_is_refused_quietly(forge, header, payload):
    assert refused(forge(payload, header))


@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
@hypothesis_settings(suppress_health_check=list(HealthCheck))
@given(seal=st.binary(max_size=100))
def test_any_other_signature_is_refused(settings, alg, seal):
    """With our header and good claims, so that nothing but the signature stands in the way."""
    settings.JWT_SIGNING_KEYS = [generate_signing_key(alg)]
    message, _, ours = access_token().rpartition(".")

    if encode(seal) != ours:
        assert refused(f"{message}.{encode(seal)}")


# Over HTTP


def bearer(client, token):
    return client.get("me", authorization=f"Bearer {token}")


def assert_token_invalid(answer):
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == NOT_OURS
    assert answer.json() == {"detail": "This token is not valid.", "code": "token_invalid"}


@pytest.fixture
def refusals(forge, read_segment):
    """Tokens made of a good one that fail at, or before, their signature."""

    def make(token):
        header, payload, signature = token.split(".")
        kid = signing.key_ring().keys[0].kid
        claims = read_segment(token)
        none = encode(f'{{"alg":"none","kid":"{kid}","typ":"at+jwt"}}'.encode())
        return {
            "unsigned": f"{none}.{payload}.AA",
            "another key": ".".join(
                [header, payload, encode(hmac.digest(b"x" * 32, b"message", "sha256"))]
            ),
            "one claim changed": f"{header}.{encode(json.dumps(claims | {'gen': 2}).encode())}."
            + signature,
            "HS512": forge(claims, {"alg": "HS512", "kid": kid, "typ": "at+jwt"}),
            "no kid": forge(claims, {"alg": "HS256", "typ": "at+jwt"}),
            "crit": forge(claims, {"alg": "HS256", "kid": kid, "typ": "at+jwt", "crit": ["exp"]}),
            "two segments": f"{header}.{payload}",
            "four segments": f"{token}.{signature}",
            "dots": "..",
            "padded": f"{token}=",
            "long": token + "A" * (signing.MAX_LENGTH - len(token)),
            "text": "secret",
        }

    return make


@pytest.mark.asvs("9.1.1")
def test_token_refused_before_the_row_costs_no_query(
    api, alice, refusals, forge, read_segment, django_assert_num_queries
):
    phone = api(alice)
    claims = read_segment(phone.pair["access_token"])
    bad = refusals(phone.pair["access_token"]) | {
        "refresh token": phone.pair["refresh_token"],
        "other audience": forge(claims | {"aud": "https://other.example"}),
        "text as gen": forge(claims | {"gen": "1"}),
    }
    for name, token in bad.items():
        with django_assert_num_queries(0, info=name):
            assert_token_invalid(bearer(phone, token))


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("changes", [{}, {"gen": 2}, {"gen": 0}])
@pytest.mark.parametrize("is_revoked", [False, True])
def test_authentic_token_past_its_end_is_expired_whatever_else(
    api, alice, forge, read_segment, changes, is_revoked, django_assert_num_queries
):
    """The one query tells the time. A device that was revoked counts no refusal for it."""
    phone = api(alice)
    claims = read_segment(phone.pair["access_token"]) | {"exp": int(time.time())} | changes
    if is_revoked:
        assert phone.post("logout").status_code == 204

    with django_assert_num_queries(1):
        answer = bearer(phone, forge(claims))

    assert answer.json()["code"] == "token_expired"
    assert phone.device.refused_count == 0


@pytest.mark.parametrize("changes", [{"sub": "0"}, {"sid": SID}, {"nbf": 2**40}])
def test_token_past_its_end_that_is_of_no_device_is_not_valid(
    api, alice, forge, read_segment, changes
):
    phone = api(alice)
    token = forge(read_segment(phone.pair["access_token"]) | {"exp": 1} | changes)

    assert_token_invalid(bearer(phone, token))


@pytest.mark.asvs("10.3.3")
@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "999999"},
        {"sub": "\ud800"},
        {"sub": ""},
        {"sub": " 1"},
        {"sub": "01"},
        {"sid": SID},
        {"gen": 2},
        {"gen": 2**53},
    ],
)
def test_signed_claims_that_the_row_denies_are_refused(
    api, alice, forge, read_segment, changes, django_assert_num_queries
):
    phone = api(alice)
    token = forge(read_segment(phone.pair["access_token"]) | changes)

    with django_assert_num_queries(1):
        assert_token_invalid(bearer(phone, token))


@pytest.mark.asvs("9.2.2")
def test_handle_of_a_browser_makes_no_token(api, browser, alice, forge):
    """The signing key and a stolen cookie together: kinds do not mix."""
    cookie = browser(alice)
    handle = cookie.session["device"]

    assert_token_invalid(bearer(api(), forge(claims_of(sub=str(alice.pk), sid=handle))))


@pytest.mark.asvs("9.2.2")
def test_handle_of_an_api_device_makes_no_browser(client, api, alice, read_segment, settings):
    phone = api(alice)
    session = client.session
    session["device"] = read_segment(phone.pair["access_token"])["sid"]
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key

    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.asvs("11.2.2")
@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
def test_requests_work_with_either_algorithm(settings, api, alice, alg):
    settings.JWT_SIGNING_KEYS = [generate_signing_key(alg)]

    assert api(alice).get("me").status_code == 200


@pytest.mark.asvs("11.2.2")
def test_device_outlives_a_key_rotation(settings, api, alice):
    phone = api(alice)

    settings.JWT_SIGNING_KEYS = [generate_signing_key("EdDSA"), *settings.JWT_SIGNING_KEYS]
    assert phone.get("me").status_code == 200

    settings.JWT_SIGNING_KEYS = settings.JWT_SIGNING_KEYS[:1]
    assert_token_invalid(phone.get("me"))


@pytest.mark.asvs("7.2.3", "11.5.1")
def test_handles_and_jtis_are_random(read_segment):
    handles = {signing.new_handle() for _ in range(10_000)}
    jtis = {read_segment(access_token())["jti"] for _ in range(10_000)}

    assert len(handles) == len(jtis) == 10_000
    assert {len(base64.urlsafe_b64decode(handle + "=")) for handle in handles} == {32}
    assert {len(base64.urlsafe_b64decode(jti + "==")) for jti in jtis} == {16}


def test_same_row_gives_the_same_refresh_token(ring, api, alice, read_segment):
    phone = api(alice)
    handle = read_segment(phone.pair["refresh_token"])["sid"]

    pairs = [flows.pair_of(phone.device, handle) for _ in range(2)]

    assert {pair.refresh_token for pair in pairs} == {phone.pair["refresh_token"]}
    assert len(read_segment(phone.pair["refresh_token"])["jti"]) == 22  # 128 bits
    assert len({pair.access_token for pair in pairs}) == 2


@pytest.mark.asvs("10.4.8")
def test_refresh_token_ends_with_its_device_at_the_latest(settings, api, alice, read_segment):
    settings.DEVICE_LIFETIME = settings.DEVICE_IDLE_TIMEOUT / 2
    phone = api(alice)

    claims = read_segment(phone.pair["refresh_token"])

    assert claims["iat"] == int(phone.device.rotated_at.timestamp())
    assert claims["exp"] == int(phone.device.expires_at.timestamp())
