"""Keys and seals of a Coffer repository: pages 2 and 3 of the specification."""
import hmac, re, struct, sys
from collections import OrderedDict
from dataclasses import dataclass

from argon2.low_level import Type as ArgonType, hash_secret_raw

from primitives import (
    CONTROL, Cur, DATA, Damage, H, INDEX, KDF, K_CONFIG, K_RING, K_SEGMENT, K_SLOT, KiB, LIMIT, MAGIC, METADATA, MiB,
    Missing, NoKey, Store, aad, aead_open, cbor, check, ed25519_ok, ed25519_public, fields, hpke_open, padded, u32,
    u64, unpad, x25519_public)


@dataclass
class Ring:
    n: int
    hash: bytes
    body: dict
    keys: dict          # (class, epoch, purpose) -> key
    id_keys: dict       # (purpose, class) -> key


class Keys:
    def __init__(self, root):
        self.store, self.warnings = Store(root), []
        self.index, self.cache, self.cached, self.reloaded = {}, OrderedDict(), 0, False

    def warn(self, text):
        if text not in self.warnings:
            self.warnings.append(text)
            print(f"warning: {text}", file=sys.stderr)

    def copies(self, name, limit, decode):
        """decode(bytes) of an object that has a second copy."""
        try:
            return decode(self.store.read(name, limit))
        except Damage as first:
            try:
                out = decode(self.store.read(name + ".copy", limit))
            except Missing:
                raise first from None
            self.warn(f"{first}; its second copy was used")
            return out

    # ------------------------------------------------------------ keys (page 2)
    def unlock(self, password=None, key_file=None):
        self.copies("config", LIMIT[K_CONFIG], lambda b: self.unlock_with(b, password, key_file))

    def unlock_with(self, b, password, key_file):
        c = Cur(b, "config")
        check(c.take(8) == MAGIC, "config: magic")
        check(c.num(2) == 1, "config: format version")
        c.zeros(2)
        ring0_len = c.u32()
        self.id = c.take(16)
        features = c.u64(), c.u64(), c.u64()
        c.zeros(8)
        self.features(features[0], "config")
        ring0, body = c.take(ring0_len), b[64 + ring0_len:]
        self.ring = self.open_rings(ring0, password, key_file)
        _, config = self.unseal(body, K_CONFIG, b"", "config body", extra=b[:64])
        self.config = fields(cbor(config, "config body"), "config body",
                             "v:u64 repository:16 chunker:u64 chunker_secret:32 profiles:list created_ns:i64")
        check(self.config["v"] == 1 and self.config["repository"] == self.id, "config body: version or repository")
        if self.ring.n:
            check(self.ring.body.get("config") == config, f"ring {self.ring.n}: its config differs from the config")

    def features(self, bits, what):
        check(bits == 0, f"{what}: feature bits {bits:#x} are needed to read and not known")

    def open_slot(self, listed, password, key_file):
        if key_file is not None:
            if re.fullmatch(rb"[0-9a-f]{64}\n?", key_file):
                key_file = bytes.fromhex(key_file[:64].decode())
            check(len(key_file) == 32, "key file: neither 32 bytes nor 64 digits")
        cost = 0
        for slot in sorted(listed):
            name = f"keys/{slot.hex()}"
            try:
                b = self.store.read(name, LIMIT[K_SLOT])
                check(len(b) >= 160, "too short")
                c = Cur(b, name)
                version, okind, skind, _, mem, passes, lanes = struct.unpack("<4B3I", c.take(16))
                check((version, okind, b[3]) == (1, K_SLOT, 0), "head")
                slot_id, repo, salt, commitment = c.take(16), c.take(16), c.take(32), c.take(32)
                check(slot_id == slot, "slot id")
                if repo != self.id:
                    continue
                if skind == 1 and password is not None:
                    check(64 * KiB <= mem <= MiB and 1 <= passes <= 16 and 1 <= lanes <= 16, "Argon2 limits")
                    cost += mem * passes
                    check(cost <= 64 * MiB, "Argon2 would cost too much")     # m is in KiB
                    kek = hash_secret_raw(password, salt, passes, mem, lanes, 32, ArgonType.ID, 0x13)
                elif skind == 2 and key_file is not None:
                    check((mem, passes, lanes) == (0, 0, 0), "Argon2 parameters of a key file")
                    kek = KDF("coffer v1 key file", key_file + salt)
                else:
                    check(skind in (1, 2), "slot kind")
                    continue
            except Damage as e:
                self.warn(f"{name}: ignored: {e}")
                continue
            if not hmac.compare_digest(KDF("coffer v1 slot commitment", kek + b[:80]), commitment):
                continue
            ad = aad(self.id, K_SLOT, 0, CONTROL, 0, slot_id, len(b)) + b[:112]
            try:
                plain = unpad(aead_open(KDF("coffer v1 slot key", kek + b[:80]), b[112:], ad, name), name)
                body = fields(cbor(plain, name), name, "v:u64 x25519:32 ring:u64 ring_public:32 label:text "
                              "created_ns:i64")
                check(body["v"] == 1 and body["ring"] < 1 << 32 and len(body["label"].encode()) <= 1024,
                      f"{name}: version, ring or label")
                return slot_id, body
            except Damage as e:
                self.warn(f"ignored: {e}")
        raise Damage("no slot opens with this credential")

    def open_rings(self, ring0, password, key_file):
        """Slots are those of the highest ring's clear table; the ring itself is checked from the slot's on."""
        numbers = {int(m[1]) for kind, m, _ in self.store.list("rings") if kind == K_RING} | {0}
        top = max(numbers)
        check(top <= 100_000 and numbers == set(range(top + 1)), "rings: numbers have gaps")

        def unlocked(b):
            listed = [row[:16] for row in self.ring_rows(b, top)[0]]
            slot_id, slot = self.open_slot(listed, password, key_file)
            self.secret, self.slot_id = slot["x25519"], slot_id
            check(slot["ring"] <= top, f"rings: ring {slot['ring']} of the slot is missing")
            return slot
        slot = unlocked(ring0) if top == 0 else self.copies(f"rings/{top}", LIMIT[K_RING], unlocked)
        return self.chain(ring0, slot, top)

    def chain(self, ring0, slot, top):
        k, before = slot["ring"], None
        for n in range(k, top + 1):
            def decode(b, n=n, before=before):
                ring = self.open_ring(b, n)
                public = ring.body["signing_public"]
                if n == k:
                    check(public == slot["ring_public"], f"ring {n}: its public key is not the slot's")
                    signer = public if n == 0 else None     # the pair of ring k-1 is not known
                else:
                    check(b[24:56] == before.hash, f"ring {n}: does not name the ring before")
                    signer = before.body["signing_public"]
                check(signer is None or ed25519_ok(signer, b[-64:], b"coffer v1 ring" + b[:-64]),
                      f"ring {n}: signature")
                check(before is None or all(ring.id_keys.get(x, y) == y for x, y in before.id_keys.items()),
                      f"ring {n}: id keys changed")
                return ring
            before = decode(ring0) if n == 0 else self.copies(f"rings/{n}", LIMIT[K_RING], decode)
        return before

    def ring_rows(self, b, n):
        """Recipients and parts."""
        what = f"ring {n}"
        c = Cur(b, what)
        check(c.u8() == 1 and c.u8() == K_RING, f"{what}: head")
        count = c.num(2)
        check(1 <= count <= 64 and c.u32() == n and c.take(16) == self.id, f"{what}: head")
        check(c.take(32) == bytes(32) or n > 0, f"{what}: ring 0 names a ring before")
        rows = [c.take(176) for _ in range(count)]
        lengths = c.u32(), c.u32()
        parts = [c.take(x) for x in lengths]
        c.take(64)
        c.done()
        check(min(lengths) >= 48 and len({r[:16] for r in rows}) == count, f"{what}: parts, or a slot stands twice")
        return rows, parts

    def open_ring(self, b, n):
        what = f"ring {n}"
        rows, parts = self.ring_rows(b, n)
        mine = [r for r in rows if r[:16] == self.slot_id]
        check(len(mine) == 1, f"{what}: this slot is no recipient (removed?)")

        def part(i):
            row = mine[0][16 + 80 * i:96 + 80 * i]
            if not any(row):
                return None
            info = b"coffer v1 ring" + self.id + u32(n) + bytes([i])
            key = hpke_open(self.secret, row[:32], row[32:], info, self.slot_id)
            ad = aad(self.id, K_RING, i, CONTROL, n, u64(n), len(parts[i]))
            body = unpad(aead_open(key, parts[i], ad, f"{what} part {i}"), f"{what} part {i}")
            if len(parts[i]) != padded(48 + len(body)):
                self.warn(f"{what} part {i}: length is not padded")
            return cbor(body, f"{what} part {i}")

        body, secret = part(0), part(1)
        check(body is not None, f"{what}: no part 0 for this slot")
        fields(body, what, "v:u64 number:u64 epoch:u64 epochs:list data_id_key:32 metadata_id_key:32 recipients:list "
               "authors:list signing_secret:32 signing_public:32 config:bytes? created_ns:i64")
        check(body["v"] == 1 and body["number"] == n, f"{what}: version or number")
        table = [fields(r, what, "slot:16 public:32 label:text kind:u64 created_ns:i64 secrets:bool")
                 for r in body["recipients"]]
        check([r["slot"] for r in table] == [r[:16] for r in rows], f"{what}: recipient table differs")
        check([r["secrets"] for r in table] == [any(r[96:]) for r in rows], f"{what}: secrets differ")
        check(all(r["public"] == x25519_public(self.secret) for r in table if r["slot"] == self.slot_id),
              f"{what}: public key in the table is not the slot's")
        ring, seen = Ring(n, H(b), body, {}, {}), []
        for cls, m in ((0, body), (1, secret)):
            if m is None:
                continue
            fields(m, what, "v:u64 number:u64 epochs:list data_id_key:32 metadata_id_key:32")
            check(len(m["epochs"]) <= 4096 and m["number"] == n, f"{what}: epochs or number")
            numbers = [fields(e, what, "number:u64 keys:list")["number"] for e in m["epochs"]]
            check(numbers and numbers == list(range(len(numbers))) and m["v"] == 1, f"{what}: epochs or version")
            seen.append(numbers)
            for e in m["epochs"]:
                for key in e["keys"]:
                    check(fields(key, what, "purpose:u64 kind:u64 key:32")["kind"] == 1, f"{what}: kind of a key")
                    ring.keys[cls, e["number"], key["purpose"]] = key["key"]
                purposes = sorted(key["purpose"] for key in e["keys"])
                check(purposes == ([1, 2] if cls else [1, 2, 3, 4]), f"{what}: purposes of an epoch")
            ring.id_keys[DATA, cls], ring.id_keys[METADATA, cls] = m["data_id_key"], m["metadata_id_key"]
        check(body["epoch"] == seen[0][-1] and seen[0] == seen[-1], f"{what}: epoch is not the last, or parts differ")
        check(n or seen[0] == [0] and body.get("config") is None, f"{what}: epochs or config of ring 0")
        check(ed25519_public(body["signing_secret"]) == body["signing_public"], f"{what}: signing pair")
        for a in body["authors"]:
            fields(a, what, "host:16 name:text public:32")
        return ring

    # ------------------------------------------------------------ sealing (page 3)
    def header(self, h, kind, what):
        check((h[0], h[1], h[2], h[3]) == (1, 1, kind, 0), f"{what}: header")
        return int.from_bytes(h[4:8], "little"), h[8:40]

    def object_key(self, cls, purpose, epoch, salt, what):
        key = self.ring.keys.get((cls, epoch, purpose))
        if key is None:
            have = any(k[0] == cls for k in self.ring.keys)
            raise (Damage if have else NoKey)(f"{what}: no key of class {cls}, epoch {epoch}, purpose {purpose}")
        return KDF("coffer v1 object key", key + salt)

    def unseal(self, b, kind, place, what, extra=b""):
        check(len(b) >= 88, f"{what}: too short")
        epoch, salt = self.header(b[:40], kind, what)
        purpose = INDEX if kind == K_SEGMENT else CONTROL
        check(kind != K_CONFIG or epoch == 0, f"{what}: epoch")
        ad = aad(self.id, kind, 0, purpose, epoch, place, len(b)) + extra
        body = unpad(aead_open(self.object_key(0, purpose, epoch, salt, what), b[40:], ad, what), what)
        if len(b) != padded(88 + len(body)):
            self.warn(f"{what}: length {len(b)} is not padded({88 + len(body)})")
        return epoch, body

    def signed(self, b, kind, place, what, spec):
        _, body = self.unseal(b, kind, place, what)
        check(len(body) > 64, f"{what}: no signature")
        m = fields(cbor(body[64:], what), what, "v:u64 author:16 ring:map " + spec)
        check(m["v"] == 1, f"{what}: version")
        fields(m["ring"], f"{what} ring", "number:u64 hash:32")
        public = [a["public"] for a in self.ring.body["authors"] if a["host"] == m["author"]]
        message = b"coffer v1 signature" + self.id + bytes([kind]) + place.ljust(24, b"\0") + body[64:]
        if not public:
            self.warn(f"author {m['author'].hex()} is not enrolled")
        else:
            check(any(ed25519_ok(p, body[:64], message) for p in public), f"{what}: signature of a known author")
        return m

    def named(self, name, digest, kind):
        b = self.store.read(name, LIMIT[kind])
        check(H(b).hex() == digest, f"{name}: bytes do not match the name")
        return b
