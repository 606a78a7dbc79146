"""Generations, snapshots, packs and index of a Coffer repository: pages 4 and 6 of the specification."""
import struct
from dataclasses import dataclass, field

import zstandard

from keys import Keys
from manifests import Manifests
from primitives import (
    Cur, DATA, Damage, H, INDEX, KH, K_CLOSE, K_FATE, K_FOOTER, K_FORGET, K_FRAME, K_GEN, K_RECORD, K_SEGMENT,
    K_SNAPSHOT, KiB, LIMIT, METADATA, MiB, Missing, aad, aead_open, check, fields, padded, u64, unpad)


@dataclass
class Frame:
    pack: str
    header: bytes
    cls: int
    purpose: int
    offset: int
    sealed: int
    expanded: int
    kind: int
    codec: int
    chunks: list = field(default_factory=list)      # (id, length)
    bases: list = field(default_factory=list)       # (id, offset, length)


class Repo(Keys, Manifests):
    # ------------------------------------------------------------ generations and snapshots (page 6)
    def generations(self):
        """k, the open generation or None, V(k), X(k)"""
        gens, closes = set(), set()
        for kind, m, _ in self.store.list("gen"):
            (gens if kind == K_GEN else closes if kind == K_CLOSE else set()).add(int(m[1]) if m else 0)
        gens, closes = gens - {0}, closes - {0}
        k, top = max(closes, default=0), max(gens, default=0)
        check(top in (k, k + 1), f"gen: highest generation {top}, highest close {k}")
        for n in range(1, top + 1):
            check(n in gens and (n in closes or n > k), f"gen: {n} is missing or was not closed")
        if top:                                     # in force are the config's bits and the highest generation's
            self.load_gen(top)
        todo = []
        for n in range(k, 0, -1):
            todo.append(self.load_close(n))
            if todo[-1][0]["full"]:
                break
        valid, deleted, before = set(), set(), None
        for m, digest in reversed(todo):
            n = m["n"]
            check(m["gen"] == H(self.store.read(f"gen/{n}", LIMIT[K_GEN])), f"gen/{n}.close: not of this gen/{n}")
            if before or n == 1:
                check(m["prev"] == (before or bytes(32)), f"gen/{n}.close: does not name the close before")
            before = digest
            for name, of, width in (("valid", valid, 56), ("deleted", deleted, 32)):
                add, drop = (runs(m[f"{name}_{x}"], width, f"gen/{n}.close {name}_{x}") for x in ("add", "drop"))
                if m["full"]:
                    of.clear()
                of.difference_update(drop)
                of.update(add)
        return k, k + 1 if top > k else None, valid, deleted

    def load_gen(self, n):
        b = self.store.read(f"gen/{n}", LIMIT[K_GEN])
        m = self.signed(b, K_GEN, u64(n), f"gen/{n}", "n:u64 prev:32 condemned:bytes features:map created_ns:i64")
        check(m["n"] == n, f"gen/{n}: number")
        prev = H(self.store.read(f"gen/{n - 1}", LIMIT[K_GEN])) if n > 1 else bytes(32)
        check(m["prev"] == prev, f"gen/{n}: does not name the generation before")
        runs(m["condemned"], 32, f"gen/{n} condemned")
        self.features(fields(m["features"], f"gen/{n}", "read:u64 write:u64 prune:u64")["read"], f"gen/{n}")
        return m

    def load_close(self, n):
        name = f"gen/{n}.close"

        def decode(b):
            m = self.signed(b, K_CLOSE, u64(n), name, "n:u64 gen:32 full:bool prev:32 valid_add:bytes valid_drop:bytes "
                            "deleted_add:bytes deleted_drop:bytes forgets:bytes created_ns:i64")
            check(m["n"] == n, f"{name}: number")
            for key, width in (("valid_add", 56), ("valid_drop", 56), ("deleted_add", 32), ("deleted_drop", 32)):
                runs(m[key], width, f"{name} {key}")
            check(not m["full"] or not m["valid_drop"] + m["deleted_drop"], f"{name}: full, but drops")
            check(len(m["forgets"]) % 24 == 0, f"{name} forgets: length")
            return m, H(b)
        return self.copies(name, LIMIT[K_CLOSE], decode)

    def load_fate(self, n):
        name = f"gen/{n}.fate"
        m = self.signed(self.store.read(name, LIMIT[K_FATE]), K_FATE, u64(n), name,
                        "n:u64 close:32 fate:text created_ns:i64")
        check(m["n"] == n and m["fate"] in ("delete", "undo"), f"{name}: number or fate")
        _, digest = self.load_close(n)
        check(m["close"] == digest, f"{name}: not of this close")
        return m

    def load_forget(self, name, sid, k):
        b = self.store.read(name, LIMIT[K_FORGET])
        m = self.signed(b, K_FORGET, sid + u64(k), name, "sid:16 k:u64 undo:bool objects:list created_ns:i64")
        check(m["sid"] == sid and m["k"] == k, f"{name}: sid or k")
        for o in m["objects"]:
            fields(o, name, "gen:u64 hash:32")
        return m

    def load_record(self, name, kind, digest):
        m = self.signed(self.named(name, digest, K_RECORD), K_RECORD, kind.encode(), name,
                        "kind:text created_ns:i64 roots:list manifests:list body:map")
        check(m["kind"] == kind, f"{name}: kind")
        for r in m["roots"] + m["manifests"]:
            reference(r, name)
        if kind == "bad-pack":
            fields(m["body"], name, "pack:32 reason:text")
        elif kind == "verified":
            check(len(fields(m["body"], name, "packs:bytes finished_ns:i64")["packs"]) % 32 == 0, f"{name}: packs")
        return m

    def load_snapshot(self, gen, sid, digest):
        name = f"snapshots/{gen}/{sid.hex()}-{digest.hex()}"
        m = self.signed(self.named(name, digest.hex(), K_SNAPSHOT), K_SNAPSHOT, u64(gen) + sid, name,
                        "sid:16 seq:u64 gen:u64 state:text host:text job:text tags:list started_ns:i64 "
                        "finished_ns:i64 tool:text head:map bad_seen:list totals:map sources:list pending:list")
        check(m["sid"] == sid and m["gen"] == gen, f"{name}: sid or generation")
        check(m["state"] in ("complete", "partial", "incomplete"), f"{name}: state")
        check(len(m["sources"]) <= 4096, f"{name}: sources")
        fields(m["head"], name, "number:u64 hash:32")
        fields(m["totals"], name, "entries:u64 bytes:u64 files_new:u64 files_changed:u64 files_unmodified:u64 "
               "data_added:u64 data_stored:u64")
        check(all(isinstance(t, str) for t in m["tags"]), f"{name}: tags")
        check(all(isinstance(x, bytes) and len(x) == 32 for x in m["bad_seen"]), f"{name}: bad_seen")
        for r in m["pending"]:
            reference(r, name)
        for s in m["sources"]:
            fields(s, name, "kind:text name:text roots:list status:text message:text? errors:u64 root:map? entries:u64 "
                   "bytes:u64 profile:text parent:map? facts:map s_data_ids:map? s_node_ids:map?")
            check(s["status"] in ("complete", "failed"), f"{name}: status")
            check((s.get("root") is not None) == (s["status"] == "complete"), f"{name}: root")
            check(all(isinstance(x, bytes) for x in s["roots"]), f"{name}: roots")
            check(all(isinstance(x, str) for x in s["facts"].values()), f"{name}: facts")
            for key in ("root", "s_data_ids", "s_node_ids"):
                if s.get(key):
                    reference(s[key], name)
            if s.get("parent"):
                fields(s["parent"], name, "sid:16 hash:32")
        check(len({s["name"] for s in m["sources"]}) == len(m["sources"]), f"{name}: source name twice")
        return m

    def valid_objects(self):
        """The valid snapshot objects (generation, sid, hash), less the forgotten."""
        k, opened, valid, _ = self.generations()
        objects = {(int.from_bytes(v[:8], "little"), v[8:24], v[24:]) for v in valid}
        for g in [k] + ([opened] if opened else []):
            for kind, m, _ in self.store.list(f"snapshots/{g}"):
                if kind == K_SNAPSHOT:
                    objects.add((g, bytes.fromhex(m[2]), bytes.fromhex(m[3])))
        latest = {}
        for kind, m, name in self.store.list("forgets"):
            if kind == K_FORGET and int(m[2]) >= latest.get(m[1], (0, ""))[0]:
                latest[m[1]] = int(m[2]), name
        for sid, (number, name) in latest.items():
            f = self.load_forget(name, bytes.fromhex(sid), number)
            if not f["undo"]:
                objects -= {(o["gen"], f["sid"], o["hash"]) for o in f["objects"]}
        return sorted(objects)

    def snapshots(self, checkpoints=False, again=False):
        """Forgotten objects are taken away first, then the highest (generation, seq, hash) of each sid is chosen;
        an object that does not open is reported and passed over."""
        best = {}
        for gen, sid, digest in self.valid_objects():
            try:
                m = self.load_snapshot(gen, sid, digest)
            except Missing:
                if again:
                    raise
                return self.snapshots(checkpoints, again=True)
            except Damage as e:
                self.warn(f"snapshot passed over: {e}")
                continue
            m["hash"] = digest
            if sid not in best or (best[sid]["gen"], best[sid]["seq"], best[sid]["hash"]) < (gen, m["seq"], digest):
                best[sid] = m
        return sorted((m for m in best.values() if checkpoints or m["state"] != "incomplete"),
                      key=lambda m: (m["started_ns"], m["sid"]))

    def snapshot(self, prefix):
        found = [m for m in self.snapshots(checkpoints=prefix != "latest")
                 if prefix == "latest" or m["sid"].hex().startswith(prefix)]
        check(found and (len(found) == 1 or prefix == "latest"), f"{len(found)} snapshots begin with {prefix}")
        return found[-1]

    # ------------------------------------------------------------ packs and index (page 4)
    def footer(self, body, pack, header, pack_len, sealed_footer, what):
        """The frames of a footer's body."""
        c = Cur(body, what)
        cls, purpose = c.u8(), c.u8()
        c.zeros(2)
        F, C, B = c.u32(), c.u32(), c.u32()
        check(cls in (0, 1) and purpose in (DATA, METADATA), f"{what}: class or purpose")
        check(1 <= F <= 65536 and 1 <= C <= 131072 and B <= 262144, f"{what}: counts")
        frames, offset, counts = [], 40, []
        for _ in range(F):
            sealed, expanded, chunks, bases = (c.u32() for _ in range(4))
            kind, codec, level = c.u8(), c.u8(), struct.unpack("b", c.take(1))[0]
            c.zeros(1)
            check(1 <= expanded <= 16 * MiB and 40 <= sealed <= expanded + 128 * KiB, f"{what}: frame lengths")
            check(kind in (1, 2) and codec in (0, 1) and chunks >= 1, f"{what}: frame kind, codec or chunks")
            check(codec == 1 or (level == 0 and sealed == expanded + 40), f"{what}: raw frame's level or length")
            check(bases == 0 if kind == 1 else bases >= 1 and codec == 1 and purpose == DATA, f"{what}: bases")
            frames.append(Frame(pack, header, cls, purpose, offset, sealed, expanded, kind, codec))
            counts.append((chunks, bases))
            offset += sealed
        check((sum(x for x, _ in counts), sum(y for _, y in counts)) == (C, B), f"{what}: counts of the frames")
        check(offset + sealed_footer + 8 == pack_len, f"{what}: frames do not reach to the footer")
        for f, (n, _) in zip(frames, counts):
            f.chunks = [(c.take(32), c.u32()) for _ in range(n)]
            check(all(1 <= x <= 16 * MiB for _, x in f.chunks), f"{what}: chunk length")
            check(sum(x for _, x in f.chunks) == f.expanded, f"{what}: chunks do not fill the frame")
        for f, (n, b) in zip(frames, counts):
            last = 0
            for _ in range(b):
                cid, number, start, length = c.take(32), c.u32(), c.u32(), c.u32()
                c.zeros(4)
                check(last <= number < n and length >= 1 and start + length <= 16 * MiB, f"{what}: base")
                last = number
                f.bases.append((cid, start, length))
            check(sum(x for _, _, x in f.bases) <= MiB, f"{what}: prefix too long")
        c.done()
        return frames

    def open_pack(self, name):
        """(frames, header, footer body) of a pack, read from the pack itself."""
        what, size = f"pack {name}", 0
        path = f"packs/{name[:2]}/{name}"
        size = len(b := self.store.read(path, LIMIT[K_FRAME]))
        check(size >= 40 + 88 + 8, f"{what}: too short")
        epoch, salt = self.header(b[:40], K_FRAME, what)
        sealed = int.from_bytes(b[-8:], "little")
        check(48 <= sealed <= size - 48, f"{what}: footer length")
        at = size - 8 - sealed
        ad = aad(self.id, K_FOOTER, 0, INDEX, epoch, u64(at), sealed)
        key = self.object_key(0, INDEX, epoch, salt, what)
        body = unpad(aead_open(key, b[at:-8], ad, f"{what} footer"), f"{what} footer")
        if size != padded(at + 24 + 8 + len(body) + 16 + 8):
            self.warn(f"{what}: length is not padded")
        return self.footer(body, name, b[:40], size, sealed, what), b[:40], body

    def load_segment(self, name, digest):
        _, body = self.unseal(self.named(name, digest, K_SEGMENT), K_SEGMENT, b"", name)
        c = Cur(body, name)
        count = c.u32()
        c.zeros(4)
        check(count >= 1, f"{name}: no packs")
        for _ in range(count):
            pack, pack_len, sealed, n = c.take(32).hex(), c.u64(), c.u32(), c.u32()
            header, footer = c.take(40), c.take(n)
            self.header(header, K_FRAME, f"{name} pack {pack}")
            check(pack_len <= LIMIT[K_FRAME], f"{name}: pack length")
            yield self.footer(footer, pack, header, pack_len, sealed, f"{name} pack {pack}"), header, footer, pack_len
        c.done()

    def load_index(self, from_packs=False):
        self.index, self.packs, self.from_packs = {}, {}, from_packs
        if from_packs:
            for kind, m, name in self.store.list("packs"):
                if kind == K_FRAME:
                    frames, header, body = self.open_pack(m[2])
                    self.packs[m[2]] = frames, header, body, (self.store.root / name).stat().st_size
        for kind, m, name in self.store.list("index"):
            if kind == K_SEGMENT and not from_packs:
                try:
                    for found in self.load_segment(name, m[1]):
                        self.packs.setdefault(found[0][0].pack, found)
                except Missing:
                    if self.reloaded:
                        raise
                    self.reloaded = True
                    return self.load_index()
                except Damage as e:     # what it alone names will be missing
                    self.warn(f"segment passed over: {e}")
        for frames, *_ in self.packs.values():
            for f in frames:
                at = 0
                for cid, length in f.chunks:
                    self.index.setdefault((f.purpose, f.cls, cid), []).append((f, at, length))
                    at += length

    def expand(self, f):
        """A frame's plaintext with every chunk named again."""
        hit = self.cache.get((f.pack, f.offset))
        if hit is not None:
            self.cache.move_to_end((f.pack, f.offset))
            return hit
        what = f"pack {f.pack} frame at {f.offset}"
        epoch, salt = self.header(f.header, K_FRAME, what)
        key = self.object_key(f.cls, f.purpose, epoch, salt, what)
        sealed = self.store.read(f"packs/{f.pack[:2]}/{f.pack}", LIMIT[K_FRAME], f.offset, f.sealed)
        ad = aad(self.id, K_FRAME, f.cls, f.purpose, epoch, u64(f.offset), f.expanded, f.kind, f.codec)
        plain = aead_open(key, sealed, ad, what)
        if f.codec == 1:
            plain = self.inflate(plain, f, what)
        check(len(plain) == f.expanded, f"{what}: expanded length")
        at, id_key = 0, self.ring.id_keys[f.purpose, f.cls]
        for cid, length in f.chunks:
            check(KH(id_key, plain[at:at + length]) == cid, f"{what}: chunk at {at} is not {cid.hex()}")
            at += length
        self.cache[f.pack, f.offset] = plain
        self.cached += len(plain)
        while self.cached > 64 * MiB and len(self.cache) > 1:
            self.cached -= len(self.cache.popitem(last=False)[1])
        return plain

    def inflate(self, payload, f, what):
        try:
            p = zstandard.get_frame_parameters(payload)
            check(payload[:4] == b"\x28\xb5\x2f\xfd" and p.content_size == f.expanded, f"{what}: zstd content size")
            check(p.window_size <= 1 << 25 and p.dict_id == 0 and not p.has_checksum, f"{what}: zstd frame header")
            extra = {}
            if f.kind == 2:
                prefix = b"".join(self.base(f.cls, *b) for b in f.bases)
                extra["dict_data"] = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            d = zstandard.ZstdDecompressor(max_window_size=1 << 25, **extra)
            return d.decompress(payload, read_across_frames=False, allow_extra_data=False)
        except zstandard.ZstdError as e:
            raise Damage(f"{what}: {e}") from None

    def base(self, cls, cid, start, length):
        b = self.chunk(DATA, cls, cid, full_only=True)
        check(start + length <= len(b), f"base {cid.hex()}: range is outside the chunk")
        return b[start:start + length]

    def chunk(self, purpose, cls, cid, full_only=False):
        places = [p for p in self.index.get((purpose, cls, cid), []) if p[0].kind == 1 or not full_only]
        why = Missing(f"chunk {cid.hex()} (purpose {purpose}, class {cls}): no {'full ' * full_only}copy in the index")
        for f, at, length in sorted(places, key=lambda p: p[0].kind):
            try:
                return self.expand(f)[at:at + length]
            except Damage as e:
                why = e
        if isinstance(why, Missing) and not self.reloaded:      # page 6: load again once, and try again
            self.reloaded = True
            self.load_index(self.from_packs)
            return self.chunk(purpose, cls, cid, full_only)
        raise why


def reference(r, what):
    fields(r, what, "id:32 class:u64 height:u64")
    check(r["class"] in (0, 1) and r["height"] <= 16, f"{what}: class or height of a reference")


def runs(b, width, what):
    check(len(b) % width == 0, f"{what}: length")
    out = [b[i:i + width] for i in range(0, len(b), width)]
    check(all(out[i] < out[i + 1] for i in range(len(out) - 1)), f"{what}: does not ascend")
    return out
