"""Manifests of a Coffer repository: page 5 of the specification."""
from dataclasses import dataclass, field

from primitives import (
    Cur, DATA, KiB, METADATA, MiB, Missing, U64, check)


@dataclass
class Entry:
    path: bytes
    kind: int
    flags: int
    mode: int = 0
    owner: tuple = (0, 0, b"", b"")
    mtime: tuple = (0, 0)
    ctime: tuple = (0, 0)
    inode: int = 0
    size: int = 0
    refs: list = field(default_factory=list)        # (class, height, id)
    target: bytes = b""
    device: tuple = (0, 0)
    group: int = 0
    xattrs: list = field(default_factory=list)
    xattr_refs: tuple = None                        # (length, refs)
    holes: list = field(default_factory=list)       # (offset, length)
    inline: int = 0                                 # bytes of the inline attribute list
    counted: int = 0                                # bytes as counted for cutting


class Manifests:
    # needs chunk(), index and store of Repo
    def node(self, kinds, cls, height, cid):
        what = f"node {cid.hex()}"
        c = Cur(self.chunk(METADATA, cls, cid), what)
        check(len(c.b) <= 256 * KiB, f"{what}: too long")
        kind, h = c.u8(), c.u8()
        c.zeros(2)
        check(kind in kinds and h == height <= 16 and (kind == 1) == (h == 0), f"{what}: kind {kind} or height {h}")
        n = c.u32()
        check(n <= len(c.b) // 34, f"{what}: references")
        classes, heights, ids = c.take(n), c.take(n), c.take(32 * n)
        refs = [(classes[i], heights[i], ids[32 * i:32 * i + 32]) for i in range(n)]
        check(all(r[0] in (0, 1) and r[1] <= 16 for r in refs), f"{what}: class or height of a reference")
        check(kind == 1 or all(r[1] == h - 1 for r in refs), f"{what}: heights do not fall by one")
        check(kind != 1 or len(set(refs)) == n, f"{what}: reference twice")
        return kind, refs, c

    def paths(self, c, count):
        shared, lengths, suffixes = c.column("shared"), c.column("suffix lengths"), c.column("suffixes")
        before, out = b"", []
        for _ in range(count):
            s, n = shared.varint(), lengths.varint()
            check(n >= 1 and s <= len(before) and s + n <= 8192, f"{c.what}: path lengths")
            check(s == len(before) or suffixes.b[suffixes.p:suffixes.p + 1] != before[s:s + 1], f"{c.what}: shared bytes")
            path = before[:s] + suffixes.take(n)
            for part in path.split(b"/"):
                check(1 <= len(part) <= 255 and part not in (b".", b"..") and 0 not in part, f"{c.what}: path {path!r}")
            check(not before or order(before) < order(path), f"{c.what}: paths do not ascend at {path!r}")
            out.append(path)
            before = path
        for col in (shared, lengths, suffixes):
            col.done()
        return out

    def walk(self, cls, height, cid, first=None, count=None):
        """Entries of the manifest below a node, in order."""
        kind, refs, c = self.node((1,) if height == 0 else (2,), cls, height, cid)
        if kind == 1:
            entries = self.page(refs, c)
            check(entries or first is None, f"{c.what}: no entries")
            check(first is None or entries and entries[0].path == first, f"{c.what}: first path is not the table's")
            check(count is None or count == len(entries), f"{c.what}: entry count is not the table's")
            yield from entries
            return
        n = c.u32()
        check(n == len(refs) >= 1, f"{c.what}: children")
        firsts, col = self.paths(c, n), c.column("entry counts")
        counts = [col.varint() for _ in range(n)]
        col.done()
        c.done()
        check(min(counts) >= 1 and sum(counts) < U64, f"{c.what}: entry counts")
        check(sum(64 + len(x) for x in firsts) <= 256 * KiB, f"{c.what}: too long")
        check(first in (None, firsts[0]), f"{c.what}: first path is not the table's")
        check(count in (None, sum(counts)), f"{c.what}: entry count is not the table's")
        for i, (rcls, rheight, rid) in enumerate(refs):
            for e in self.walk(rcls, rheight, rid, firsts[i], counts[i]):
                check(i + 1 == n or order(e.path) < order(firsts[i + 1]), f"{c.what}: child reaches into the next")
                yield e

    def page(self, refs, c):
        n = c.u32()
        kinds = c.column("kinds")
        check(n == len(kinds.b), f"{c.what}: entry count")
        flags = c.column("flags")
        flags_of = [flags.varint() for _ in range(n)]
        flags.done()
        entries = [Entry(p, kinds.u8(), f) for p, f in zip(self.paths(c, n), flags_of)]
        for e in entries:
            check(1 <= e.kind <= 7 and e.flags < 64 and e.flags & 12 != 12, f"{c.what}: kind or flags of {e.path!r}")
            check(e.kind == 1 or not e.flags & 48, f"{c.what}: file flags on {e.path!r}")
            check(e.kind != 2 or not e.flags & 2, f"{c.what}: link group of the directory {e.path!r}")
        cols = {}
        for name in ("modes owners table mtimes ctimes inodes sizes contents targets devices groups xattrs holes").split():
            cols[name] = c.column(name)
        c.done()
        col = cols["table"]
        owners = [(col.varint(), col.varint(), col.take(col.varint()), col.take(col.varint()))
                  for _ in range(min(col.varint(), len(col.b)))]
        check(len(owners) <= n and all(max(o[:2]) < 1 << 32 and max(map(len, o[2:])) <= 255 for o in owners),
              f"{c.what}: owners")
        used, mtime, inode = -1, 0, 0

        def contents(col, many, height_ok):
            nonlocal used
            count = col.varint() if many else 1
            check(count <= 32, f"{c.what}: too many references in an entry")
            out = []
            for _ in range(count):
                used += 1 + col.svarint()
                check(0 <= used < len(refs) and height_ok(refs[used][1]), f"{c.what}: reference of an entry")
                out.append(refs[used])
            return out

        for e in entries:
            e.mode, owner = cols["modes"].varint(), cols["owners"].varint()
            check(e.mode < 4096 and owner < len(owners), f"{c.what}: mode or owner")
            e.owner = owners[owner]
            mtime = i64(mtime + cols["mtimes"].svarint())
            e.mtime = mtime, cols["mtimes"].varint()
            e.ctime = i64(mtime + cols["ctimes"].svarint()), cols["ctimes"].varint()
            check(max(e.mtime[1], e.ctime[1]) < 10**9, f"{c.what}: nanoseconds")
            e.inode = inode = (inode + cols["inodes"].svarint()) % U64
            if e.kind == 1:
                e.size = cols["sizes"].varint()
                listed = e.flags & 32
                e.refs = contents(cols["contents"], not listed, lambda h: h >= 1 if listed else h == 0)
            elif e.kind == 3:
                e.target = cols["targets"].take(cols["targets"].varint())
                check(1 <= len(e.target) <= 8192 and 0 not in e.target, f"{c.what}: link target")
            elif e.kind in (6, 7):
                e.device = cols["devices"].varint(), cols["devices"].varint()
                check(max(e.device) < 1 << 32, f"{c.what}: device")
            if e.flags & 2:
                e.group = cols["groups"].u64()
                check(e.group, f"{c.what}: link group 0")
            if e.flags & 16:
                self.page_holes(e, cols["holes"])
            if e.kind == 1:
                stored, many = e.size - sum(x for _, x in e.holes), len(e.refs)
                check(stored >= 1 if e.flags & 32 else many <= stored <= many * 16 * MiB, f"{c.what}: size of {e.path!r}")
        self.page_attributes(entries, cols["xattrs"], contents, c.what)
        for col in cols.values():
            col.done()
        return entries

    def page_attributes(self, entries, col, contents, what):
        for e in entries:       # column 17 is numbered after the whole of column 13
            if e.flags & 4:
                raw = col.take(col.varint())
                check(1 <= len(raw) <= 4096, f"{what}: length of an inline attribute list")
                e.xattrs, e.inline = attributes(raw, f"{what} {e.path!r}"), len(raw)
            elif e.flags & 8:   # always with a count, also when flag 32 says the content is an id list
                length = col.varint()
                check(4096 < length <= MiB, f"{what}: length of a stored attribute list")
                e.xattr_refs = length, contents(col, True, lambda h: h == 0)
                check(e.xattr_refs[1], f"{what}: no references of a stored attribute list")
            e.counted = (96 + len(e.path) + len(e.owner[2]) + len(e.owner[3]) + len(e.target) + e.inline
                         + 36 * (len(e.refs) + len(e.xattr_refs[1] if e.xattr_refs else [])) + 20 * len(e.holes))
            check(e.counted <= 32 * KiB, f"{what}: entry {e.path!r} is too long")
        check(sum(e.counted for e in entries) <= 256 * KiB, f"{what}: too long as counted")

    def page_holes(self, e, col):
        count, end = col.varint(), 0
        check(1 <= count <= 256, f"{col.what}: count")
        for i in range(count):
            gap, length = col.varint(), col.varint()
            check(length >= 1 and (gap >= 1 or i == 0), f"{col.what}: holes touch or are empty")
            e.holes.append((end + gap, length))
            end += gap + length
        check(end <= e.size, f"{col.what}: hole beyond the size")

    def content(self, refs, length):
        """The pieces of a content: (class, id, length) of data chunks; the whole must have the length."""
        total = 0
        for cls, height, cid in refs:
            for piece in (self.id_list(cls, height, cid, length - total) if height else [(cls, cid, None)]):
                n = piece[2]
                if n is None:
                    places = self.index.get((DATA, cls, cid))
                    if not places:
                        raise Missing(f"chunk {cid.hex()}: not in the index")
                    n = places[0][2]
                total += n
                check(total <= length, "content is longer than the size without holes")
                yield piece[0], piece[1], n
        check(total == length, "content is shorter than the size without holes")

    def id_list(self, cls, height, cid, most, exact=False):
        _, refs, c = self.node((3,), cls, height, cid)
        repeats, lengths = c.column("repeats"), c.column("lengths")
        c.done()
        check(1 <= len(refs) <= 4096, f"{c.what}: references")
        check(all(refs[i] != refs[i + 1] for i in range(len(refs) - 1)), f"{c.what}: neighbours are equal")
        rows = [(r, repeats.varint(), lengths.varint()) for r in refs]
        repeats.done()
        lengths.done()
        total = sum(k * n for _, k, n in rows)
        check(all(k >= 1 and n >= 1 and (r[1] or n <= 16 * MiB) for r, k, n in rows), f"{c.what}: repeats or lengths")
        check(total < U64, f"{c.what}: too long")
        check(total == most if exact else total <= most, f"{c.what}: length of the content")
        for (rcls, rheight, rid), k, n in rows:
            for _ in range(k):
                if rheight:
                    yield from self.id_list(rcls, rheight, rid, n, exact=True)
                else:
                    yield rcls, rid, n

    def read_content(self, refs, length):
        for cls, cid, n in self.content(refs, length):
            b = self.chunk(DATA, cls, cid)
            check(len(b) == n, f"chunk {cid.hex()}: length differs from the id list")
            yield b

    def xattrs_of(self, e):
        if e.xattr_refs:
            return attributes(b"".join(self.read_content(e.xattr_refs[1], e.xattr_refs[0])), repr(e.path))
        return e.xattrs

    def entries(self, source):
        r = source["root"]
        check(r["class"] in (0, 1) and r["height"] <= 16, "root: class or height")
        return self.walk(r["class"], r["height"], r["id"])


def order(path): return path.replace(b"/", b"\0")      # '/' below every other byte; NUL is in no path


def i64(n): return (n + U64 // 2) % U64 - U64 // 2


def attributes(b, what):
    c, out = Cur(b, f"{what} attributes"), []
    while c.p < len(b):
        out.append((c.take(c.varint()), c.take(c.varint())))
        check(1 <= len(out[-1][0]) <= 255 and 0 not in out[-1][0], f"{what}: name of an attribute")
    check(all(out[i][0] < out[i + 1][0] for i in range(len(out) - 1)), f"{what}: attributes do not ascend")
    return out
