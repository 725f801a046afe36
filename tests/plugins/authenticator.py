"""A software authenticator: it makes passkeys and answers challenges, as a phone does."""

import hashlib
import json
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.utils import websafe_encode

UP, UV, AT = 0x01, 0x04, 0x40  # user present, user verified, attested credential


class Authenticator:
    """One passkey, of one person. The keywords of `make()` and `use()` make it lie."""

    def __init__(self, origin="https://testserver"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential = os.urandom(32)
        self.origin = origin
        self.handle = None
        self.counter = 0

    @property
    def id(self):
        return websafe_encode(self.credential)

    def make(self, options, *, cose=None, flags=UP | UV | AT, **lies):
        """WebAuthn's RegistrationResponseJSON."""
        self.handle = options["user"]["id"]
        cose = cose or dict(CoseKey.for_alg(-7).from_cryptography_key(self.key.public_key()))
        held = bytes(16) + struct.pack(">H", len(self.credential)) + self.credential
        rp_id = lies.pop("rp_id", options["rp"]["id"])
        data = self._data(rp_id, flags) + held + cbor.encode(cose)
        attestation = cbor.encode({"fmt": "none", "authData": data, "attStmt": {}})
        client = self._client("webauthn.create", options, **lies)
        return self._answer(clientDataJSON=client, attestationObject=attestation)

    def use(self, options, *, flags=UP | UV, **lies):
        """WebAuthn's AuthenticationResponseJSON."""
        data = self._data(lies.pop("rp_id", options["rpId"]), flags)
        handle = lies.pop("handle", self.handle)
        key = lies.pop("key", self.key)
        client = self._client("webauthn.get", options, **lies)
        signed = data + hashlib.sha256(client).digest()
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        answer = self._answer(clientDataJSON=client, authenticatorData=data, signature=signature)
        answer["response"]["userHandle"] = handle
        return answer

    def _data(self, rp_id, flags):
        return hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, self.counter)

    def _client(self, kind, options, *, origin=None, challenge=None, type=None, **more):
        members = {
            "type": type or kind,
            "challenge": challenge or options["challenge"],
            "origin": origin or self.origin,
            "crossOrigin": False,
        }
        return json.dumps({**members, **more}).encode()

    def _answer(self, **response):
        return {
            "id": self.id,
            "rawId": self.id,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {name: websafe_encode(value) for name, value in response.items()},
        }


def give_passkey(user, name="Phone", *, vouched=False, **options):
    """An authenticator that holds a passkey of this user. With `vouched` it counts for staff."""
    from accounts import passkeys

    authenticator = Authenticator(**options)
    purpose = passkeys.registration("test")
    voucher = passkeys.Voucher(is_proven=vouched)
    answer = authenticator.make(passkeys.creation_options(user, purpose, voucher))
    passkeys.register(user, answer, purpose, name, device="test", origin={}, voucher=voucher)
    return authenticator
