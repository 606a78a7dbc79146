"""Primitives of the Coffer format: pages 1 to 3 of the specification, and HPKE of RFC 9180."""
import os, re, struct
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hmac import HMAC
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha_open
from nacl.exceptions import CryptoError

KiB, MiB, U64 = 1 << 10, 1 << 20, 1 << 64
MAGIC = bytes.fromhex("434f464645520d0a")
DATA, METADATA, INDEX, CONTROL = 1, 2, 3, 4
(K_CONFIG, K_SLOT, K_RING, K_FRAME, K_FOOTER, K_SEGMENT, K_SNAPSHOT, K_FORGET, K_RECORD, K_GEN, K_CLOSE,
 K_FATE) = range(1, 13)
LIMIT = {K_CONFIG: 2 * MiB, K_SLOT: 64 * KiB, K_RING: MiB, K_FRAME: 128 * MiB, K_SEGMENT: 64 * MiB, K_SNAPSHOT: 16 * MiB,
         K_FORGET: MiB, K_RECORD: MiB, K_GEN: 64 * MiB, K_CLOSE: 64 * MiB, K_FATE: MiB}
HEX32, HEX64, NUM = "[0-9a-f]{32}", "[0-9a-f]{64}", "(?:0|[1-9][0-9]{0,19})"
NAMES = [(K_CONFIG, r"config(?:\.copy)?"), (K_SLOT, rf"keys/({HEX32})"), (K_RING, rf"rings/({NUM})(?:\.copy)?"),
         (K_FRAME, rf"packs/([0-9a-f][0-9a-f])/({HEX64})"), (K_SEGMENT, rf"index/({HEX64})"),
         (K_SNAPSHOT, rf"snapshots/({NUM})/({HEX32})-({HEX64})"), (K_FORGET, rf"forgets/({HEX32})\.({NUM})"),
         (K_RECORD, rf"records/([a-z][a-z0-9-]{{0,23}})/({HEX64})"), (K_GEN, rf"gen/({NUM})"),
         (K_CLOSE, rf"gen/({NUM})\.close(?:\.copy)?"), (K_FATE, rf"gen/({NUM})\.fate")]
NAMES = [(k, re.compile(p)) for k, p in NAMES]


class Damage(Exception):
    """The bytes are not what the format says."""


class Missing(Damage):
    """An object or a chunk is not there."""


class NoKey(Damage):
    """The ring part with this key was not sealed to the slot used."""


def check(ok, why):
    if not ok:
        raise Damage(why)


# ---------------------------------------------------------------- primitives (pages 1 to 3)
def H(x): return blake3(x).digest()
def KH(k, x): return blake3(x, key=k).digest()
def KDF(c, x): return blake3(x, derive_key_context=c).digest()
def XOF(c, x, n): return (blake3(x, derive_key_context=c) if c else blake3(x)).digest(length=n)
def u32(n): return struct.pack("<I", n)
def u64(n): return struct.pack("<Q", n)


def padme(n):
    e = n.bit_length() - 1
    m = (1 << (e - e.bit_length())) - 1
    return (n + m) & ~m


def padded(n):
    return max(4096, padme(n)) if n <= MiB else -(-n // 65536) * 65536


def aad(repo, kind, cls, purpose, epoch, place, length, frame_kind=0, codec=0):
    return (bytes([1, 1, kind, cls, purpose, frame_kind, codec, 0]) + u32(epoch) + bytes(4) + repo
            + place.ljust(24, b"\0") + u64(length))


def aead_open(key, sealed, ad, what):
    """sealed = nonce [24] ‖ ciphertext ‖ tag [16]"""
    check(len(sealed) >= 40, f"{what}: too short to be sealed")
    try:
        return xchacha_open(sealed[24:], ad, sealed[:24], key)
    except CryptoError:
        raise Damage(f"{what}: does not open") from None


def unpad(plain, what):
    """u64 n ‖ body [n] ‖ zeros"""
    check(len(plain) >= 8, f"{what}: no length")
    n = int.from_bytes(plain[:8], "little")
    check(n <= len(plain) - 8, f"{what}: length does not fit")
    check(not any(plain[8 + n:]), f"{what}: padding is not zero")
    return plain[8:8 + n]


def ed25519_ok(public, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def ed25519_public(secret):
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(*RAW)


def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(*RAW)


# HPKE, RFC 9180: base mode, KEM 0x0020, KDF 0x0001, AEAD 0x0003
def _extract(suite, salt, label, ikm):
    h = HMAC(salt or bytes(32), hashes.SHA256())
    h.update(b"HPKE-v1" + suite + label + ikm)
    return h.finalize()


def _expand(suite, prk, label, info, n):
    data, out, t, i = struct.pack(">H", n) + b"HPKE-v1" + suite + label + info, b"", b"", 1
    while len(out) < n:
        h = HMAC(prk, hashes.SHA256())
        h.update(t + data + bytes([i]))
        t, i = h.finalize(), i + 1
        out += t
    return out[:n]


def hpke_key_nonce(dh, enc, public, info):
    kem = b"KEM\x00\x20"
    eae = _extract(kem, b"", b"eae_prk", dh)
    secret = _expand(kem, eae, b"shared_secret", enc + public, 32)
    suite = b"HPKE\x00\x20\x00\x01\x00\x03"
    context = b"\0" + _extract(suite, b"", b"psk_id_hash", b"") + _extract(suite, b"", b"info_hash", info)
    prk = _extract(suite, secret, b"secret", b"")
    return _expand(suite, prk, b"key", context, 32), _expand(suite, prk, b"base_nonce", context, 12)


def hpke_open(secret, enc, ciphertext, info, ad):
    try:
        dh = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(enc))
        key, nonce = hpke_key_nonce(dh, enc, x25519_public(secret), info)
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, ad)
    except (InvalidTag, ValueError):
        raise Damage("HPKE does not open") from None


class Cur:
    """A cursor over bytes which never reads past the end."""

    def __init__(self, b, what):
        self.b, self.p, self.what = b, 0, what

    def take(self, n):
        check(n <= len(self.b) - self.p, f"{self.what}: cut short")
        self.p += n
        return self.b[self.p - n:self.p]

    def num(self, n): return int.from_bytes(self.take(n), "little")
    def u8(self): return self.num(1)
    def u32(self): return self.num(4)
    def u64(self): return self.num(8)

    def zeros(self, n):
        check(not any(self.take(n)), f"{self.what}: reserved bytes set")

    def varint(self):
        v = 0
        for i in range(10):
            c = self.u8()
            v |= (c & 127) << (7 * i)
            if c < 128:
                check(v < U64 and (c or not i), f"{self.what}: varint too big or not shortest")
                return v
        raise Damage(f"{self.what}: varint too long")

    def svarint(self):
        v = self.varint()
        return (v >> 1) ^ -(v & 1)

    def column(self, name=""): return Cur(self.take(self.u32()), f"{self.what} column {name}")

    def done(self):
        check(self.p == len(self.b), f"{self.what}: bytes left over")


def cbor(b, what):
    """Strict decoder: shortest integers, definite lengths, text keys once each, at most 16 levels.
    no tags, floats or simple values but false, true and null; the outer map is level 1."""
    c, items = Cur(b, what), 0

    def item(level):
        nonlocal items
        items += 1
        check(items <= 4_194_304, f"{what}: CBOR has too many items")
        first = c.u8()
        major, low = first >> 5, first & 31
        if major == 7:
            check(low in (20, 21, 22), f"{what}: CBOR value {first:#x} is not used")
            return {20: False, 21: True, 22: None}[low]
        check(low < 28, f"{what}: CBOR indefinite length")
        n = low if low < 24 else int.from_bytes(c.take(1 << (low - 24)), "big")
        check(low < 24 or n >= (24 if low == 24 else 1 << (4 << (low - 24))), f"{what}: CBOR not shortest")
        if major == 0:
            return n
        if major == 1:
            return -1 - n
        if major == 2:
            return c.take(n)
        if major == 3:
            check(n <= 64 * KiB, f"{what}: CBOR text too long")
            try:
                return c.take(n).decode()
            except UnicodeDecodeError:
                raise Damage(f"{what}: CBOR text is not UTF-8") from None
        check(major in (4, 5) and level <= 16, f"{what}: CBOR too deep, or a tag")
        check(n <= len(b), f"{what}: CBOR count")
        if major == 4:
            return [item(level + 1) for _ in range(n)]
        out = {}
        for _ in range(n):
            k = item(level + 1)
            check(isinstance(k, str) and k not in out, f"{what}: CBOR key not text, or twice")
            out[k] = item(level + 1)
        return out

    v = item(1)
    check(isinstance(v, dict), f"{what}: CBOR is not a map")
    c.done()
    return v


def fields(m, what, spec):
    """Checks `name:type` words; a type ending in ? is optional; a number is that many bytes."""
    check(isinstance(m, dict), f"{what}: not a map")
    kinds = {"text": str, "bytes": bytes, "list": list, "map": dict, "bool": bool}
    for word in spec.split():
        name, t = word.split(":")
        v, opt, t = m.get(name), t.endswith("?"), t.rstrip("?")
        if v is None and opt:
            continue
        ok = (type(v) is int and 0 <= v < U64 if t == "u64" else type(v) is int and -U64 // 2 <= v < U64 // 2
              if t == "i64" else isinstance(v, bytes) and len(v) == int(t) if t.isdigit() else isinstance(v, kinds[t]))
        check(ok, f"{what}: field {name} is not {t}")
    return m


# ---------------------------------------------------------------- store (page 1)
class Store:
    def __init__(self, root):
        self.root = Path(root)

    def read(self, name, limit, offset=0, length=None):
        try:
            with open(self.root / name, "rb") as f:
                size = os.fstat(f.fileno()).st_size
                check(size <= limit, f"{name}: longer than the limit {limit}")
                f.seek(offset)
                b = f.read(size if length is None else length)
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"{name}: missing") from None
        check(length is None or len(b) == length, f"{name}: shorter than expected")
        return b

    def list(self, prefix=""):
        """(kind, match, name) of all objects under a prefix; kind None for a name that does not fit."""
        for at, dirs, files in os.walk(self.root / prefix):
            dirs.sort()
            for f in sorted(files):
                name = str((Path(at) / f).relative_to(self.root))
                if name.startswith("tmp/"):
                    continue
                for kind, pattern in NAMES:
                    m = pattern.fullmatch(name)
                    if m and all(int(x) < (1 << 32 if kind == K_RING else U64) for x in m.groups() if x.isdigit()
                                 and len(x) <= 20) and (kind not in (K_RING, K_GEN, K_CLOSE, K_FATE) or m[1] != "0"):
                        yield kind, m, name
                        break
                else:
                    yield None, None, name
