"""The test vectors of RFC 9335, appendix A: AES in counter mode with HMAC-SHA1, and AES-GCM."""

from __future__ import annotations

import pytest

from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp_cipher import derive_key
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, SrtpKeys

COUNTER_MODE_KEY = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139")
COUNTER_MODE_SALT = bytes.fromhex("0ec675ad498afeebb6960b3aabe6")
GCM_KEY = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
GCM_SALT = bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaab")

COUNTER_MODE = {
    "1-byte header extension": (
        "900f1235decafbadcafebabebede000151000200abababababababababababababababab",
        "900f1235decafbadcafebabec0de0001eb92365251c3e036f8de27e9c27ee3e0b4651d9fbc4218a70244522f34a5",
    ),
    "2-byte header extension": (
        "900f1236decafbadcafebabe1000000105020002abababababababababababababababab",
        "900f1236decafbadcafebabec2de00014ed9cc4e6a712b3096c5ca77339d4204ce0d77396cab69585fbce38194a5",
    ),
    "1-byte header extension and CSRC fields": (
        "920f1238decafbadcafebabe0001e2400000b26ebede000151000200abababababababababababababababab",
        "920f1238decafbadcafebabe8bb6e12b5cff16ddc0de000192838c8c09e58393e1de3a9a74734d67"
        "45671338c3acf11da2df8423bee0",
    ),
    "2-byte header extension and CSRC fields": (
        "920f1239decafbadcafebabe0001e2400000b26e1000000105020002abababababababababababababababab",
        "920f1239decafbadcafebabef70e513eb90b9b25c2de0001bbed4848faa644665f3d7f34125914e9"
        "f4d0ae923c6f479b95a0f7b53133",
    ),
    "empty 1-byte header extension and CSRC fields": (
        "920f123adecafbadcafebabe0001e2400000b26ebede0000abababababababababababababababab",
        "920f123adecafbadcafebabe7130b6abfe2ab0e3c0de0000e3d9f64b25c9e74cb4cf8e43fb92e378"
        "1c2c0ceab6b3a499a14c",
    ),
    "empty 2-byte header extension and CSRC fields": (
        "920f123bdecafbadcafebabe0001e2400000b26e10000000abababababababababababababababab",
        "920f123bdecafbadcafebabecbf24c124330e1c8c2de0000599dd45bc9d687b603e8b59d771fd38e"
        "88b170e0cd31e125eabe",
    ),
}
GCM = {
    "1-byte header extension": (
        "900f1235decafbadcafebabebede000151000200abababababababababababababababab",
        "900f1235decafbadcafebabec0de000139972dc9572c4d99e8fc355de743fb2e94f9d8ff54e72f41"
        "93bbc5c74ffab0fa9fa0fbeb",
    ),
    "2-byte header extension": (
        "900f1236decafbadcafebabe1000000105020002abababababababababababababababab",
        "900f1236decafbadcafebabec2de0001bb75a4c545cd1f413bdb7daa2b1e3263de313667c9632490"
        "81b35a65f5cb6c88b394235f",
    ),
    "1-byte header extension and CSRC fields": (
        "920f1238decafbadcafebabe0001e2400000b26ebede000151000200abababababababababababababababab",
        "920f1238decafbadcafebabe63bbccc4a7f695c4c0de00018ad7c71fac70a80c92866b4c6ba98546"
        "ef913586e95ffaaffe956885bb0647a8bc094ac8",
    ),
    "2-byte header extension and CSRC fields": (
        "920f1239decafbadcafebabe0001e2400000b26e1000000105020002abababababababababababababababab",
        "920f1239decafbadcafebabe3680524f8d312b00c2de0001c78d120038422bc111a7187a18246f98"
        "0c059cc6bc9df8b626394eca344e4b05d80fea83",
    ),
    "empty 1-byte header extension and CSRC fields": (
        "920f123adecafbadcafebabe0001e2400000b26ebede0000abababababababababababababababab",
        "920f123adecafbadcafebabe15b6bb4337906fffc0de0000b7b964537a2b03ab7ba5389ce9331712"
        "6b5d974df30c6884dcb651c5e120c1da",
    ),
    "empty 2-byte header extension and CSRC fields": (
        "920f123bdecafbadcafebabe0001e2400000b26e10000000abababababababababababababababab",
        "920f123bdecafbadcafebabedcb38c9e48bf95f4c2de000061ee432cf920317076613258d3ce4236"
        "c06ac429681ad08413512dc98b5207d8",
    ),
}


def context(name: str) -> CryptexContext:
    profile = SRTP_PROFILES[name]
    material = GCM_KEY + GCM_SALT if "GCM" in name else COUNTER_MODE_KEY + COUNTER_MODE_SALT
    return CryptexContext(SrtpKeys(profile, material, material))


@pytest.mark.parametrize(
    ("key", "salt", "label", "derived"),
    [
        (COUNTER_MODE_KEY, COUNTER_MODE_SALT, 0, "c61e7a93744f39ee10734afe3ff7a087"),
        (COUNTER_MODE_KEY, COUNTER_MODE_SALT, 1, "cebe321f6ff7716b6fd4ab49af256a156d38baa4"),
        (COUNTER_MODE_KEY, COUNTER_MODE_SALT, 2, "30cbbc08863d8c85d49db34a9ae1"),
        (GCM_KEY, GCM_SALT, 0, "077c6143cb221bc355ff23d5f984a16e"),
        (GCM_KEY, GCM_SALT, 2, "9af3e95364ebac9c99c5a7c4"),
    ],
)
def test_session_keys(key: bytes, salt: bytes, label: int, derived: str) -> None:
    assert derive_key(key, salt, label, len(derived) // 2).hex() == derived


@pytest.mark.parametrize(
    ("profile", "clear", "encrypted"),
    [
        pytest.param(profile, *packets, id=f"{profile}, {name}")
        for profile, vectors in (("SRTP_AES128_CM_SHA1_80", COUNTER_MODE), ("SRTP_AEAD_AES_128_GCM", GCM))
        for name, packets in vectors.items()
    ],
)
def test_packet(profile: str, clear: str, encrypted: str) -> None:
    assert [p.hex() for p in context(profile).protect([bytes.fromhex(clear)])] == [encrypted]
    assert [p.hex() for p in context(profile).unprotect([bytes.fromhex(encrypted)])] == [clear]
