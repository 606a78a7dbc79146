#!/usr/bin/env python3
"""An independent reader of Coffer repositories (format version 1), written from the specification alone.

    reader.py REPO --key-file F | --password-file F | --password P  COMMAND
    commands: info | snapshots [--all] | index | ls SNAP | extract SNAP DIR | verify
"""
import argparse, errno, os, stat, sys
from pathlib import Path

from manifests import order
from primitives import DATA, Damage, K_CLOSE, K_FATE, K_FORGET, K_FRAME, K_GEN, K_RECORD, K_SEGMENT, K_SNAPSHOT, LIMIT, \
    NoKey, check
from repo import Repo


# ---------------------------------------------------------------- extraction
class Extract:
    """Writes entries below a directory; never follows a link; directories get their attributes when left."""

    def __init__(self, repo, root, owners):
        self.repo, self.owners, self.groups = repo, owners, {}
        os.makedirs(root, exist_ok=True)
        check(not os.listdir(root), f"{root}: is not empty")
        self.root, self.stack = os.open(root, os.O_RDONLY | os.O_DIRECTORY), []

    def child(self, at, name):
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)

    def enter(self, parts):
        """The open directory of these components; leaves those not on the way."""
        while [s[0] for s in self.stack] != parts[:len(self.stack)]:
            self.leave()
        for part in parts[len(self.stack):]:        # a parent without an entry: made with mode 0700
            self.repo.warn(f"no entry for the directory {part!r}")
            self.push(part, None)
        return self.stack[-1][1] if self.stack else self.root

    def push(self, name, e):
        at = self.stack[-1][1] if self.stack else self.root
        try:
            os.mkdir(name, 0o700, dir_fd=at)
        except FileExistsError:
            raise Damage(f"{name!r} is no directory, but something stands below it") from None
        self.stack.append((name, self.child(at, name), e))

    def leave(self):
        _, fd, e = self.stack.pop()
        if e:
            self.attributes(e, f"/proc/self/fd/{fd}", True)
        os.close(fd)

    def attributes(self, e, path, follow=False):
        if self.owners:
            os.chown(path, *e.owner[:2], follow_symlinks=follow)
        for name, value in self.repo.xattrs_of(e):
            try:
                os.setxattr(path, name, value, follow_symlinks=follow)
            except OSError as x:
                self.repo.warn(f"{e.path!r}: attribute {name!r}: {x.strerror}")
        if e.kind != 3:
            os.chmod(path, e.mode)
        ns = e.mtime[0] * 10**9 + e.mtime[1]
        os.utime(path, ns=(ns, ns), follow_symlinks=follow)

    def all(self, entries):
        count = 0
        for e in entries:
            *parents, name = e.path.split(b"/")
            at = self.enter(parents)
            if e.kind == 2:
                self.push(name, e)
            else:
                self.other(e, at, name)
            count += 1
        self.enter([])
        os.close(self.root)
        return count

    def other(self, e, at, name):
        if e.flags & 2 and e.group in self.groups:
            *parents, first = self.groups[e.group].split(b"/")
            fds = [self.root]
            for part in parents:
                fds.append(self.child(fds[-1], part))
            os.link(first, name, src_dir_fd=fds[-1], dst_dir_fd=at, follow_symlinks=False)
            for fd in fds[1:]:
                os.close(fd)
            return
        if e.kind == 1:
            self.file(e, at, name)
        elif e.kind == 3:
            os.symlink(e.target, name, dir_fd=at)
        else:
            kind = {4: stat.S_IFIFO, 5: stat.S_IFSOCK, 6: stat.S_IFCHR, 7: stat.S_IFBLK}[e.kind]
            try:
                os.mknod(name, 0o600 | kind, os.makedev(*e.device), dir_fd=at)
            except OSError as x:
                return self.repo.warn(f"{e.path!r}: {errno.errorcode[x.errno]}")
        if e.flags & 2:
            self.groups[e.group] = e.path
        self.attributes(e, os.fsencode(f"/proc/self/fd/{at}/") + name)

    def file(self, e, at, name):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=at)
        with open(fd, "wb") as f:
            f.truncate(e.size)
            holes, pos = list(e.holes), 0
            for b in self.repo.read_content(e.refs, e.size - sum(n for _, n in e.holes)):
                while b:
                    while holes and pos == holes[0][0]:
                        pos += holes.pop(0)[1]
                    n = min(len(b), holes[0][0] - pos) if holes else len(b)
                    f.seek(pos)
                    f.write(b[:n])
                    b, pos = b[n:], pos + n


# ---------------------------------------------------------------- verify
def verify(r):
    """Every object against its name, every seal, every frame, every valid manifest."""
    bad, counts, seen = [], {}, {}

    def attempt(what, f):
        try:
            return f()
        except NoKey as e:
            r.warn(f"not verified: {e}")
        except Damage as e:
            bad.append(f"{what}: {e}")

    r.load_index()
    for kind, m, name in r.store.list():
        counts[kind] = counts.get(kind, 0) + 1
        if kind is None:
            r.warn(f"name does not fit: {name}")
        elif name.endswith(".copy"):
            if attempt(name, lambda: r.store.read(name, LIMIT[kind]) != r.store.read(name[:-5], LIMIT[kind])):
                bad.append(f"{name}: differs from the first copy")
        elif kind == K_FRAME:
            seen[m[2]] = name
            attempt(name, lambda: check(m[1] == m[2][:2], "is in another pack's folder"))
            attempt(name, lambda: r.named(name, m[2], kind))
            found = attempt(name, lambda: r.open_pack(m[2]))
            if found and m[2] in r.packs:
                attempt(name, lambda: check(r.packs[m[2]][1:3] == found[1:], "segment differs from the footer"))
            for f in found[0] if found else []:
                attempt(name, lambda: r.expand(f))
        elif kind == K_SEGMENT:
            attempt(name, lambda: list(r.load_segment(name, m[1])))
        elif kind == K_SNAPSHOT:
            attempt(name, lambda: r.load_snapshot(int(m[1]), bytes.fromhex(m[2]), bytes.fromhex(m[3])))
        elif kind == K_FORGET:
            attempt(name, lambda: r.load_forget(name, bytes.fromhex(m[1]), int(m[2])))
        elif kind == K_RECORD:
            attempt(name, lambda: r.load_record(name, m[1], m[2]))
        elif kind == K_GEN:
            attempt(name, lambda: r.load_gen(int(m[1])))
        elif kind == K_CLOSE:
            attempt(name, lambda: r.load_close(int(m[1])))
        elif kind == K_FATE:
            attempt(name, lambda: r.load_fate(int(m[1])))
    deleted = {x.hex() for x in (attempt("generations", r.generations) or (0, 0, (), ()))[3]}
    for pack in r.packs:
        if pack not in seen and pack not in deleted:
            bad.append(f"pack {pack} is named by a segment and missing")
    for s in attempt("snapshots", lambda: r.snapshots(True)) or []:
        for source in s["sources"]:
            if source.get("root"):
                attempt(f"snapshot {s['sid'].hex()} source {source['name']}", lambda: verify_manifest(r, source, seen))
    for kind in sorted(counts, key=str):
        print(f"kind {kind}: {counts[kind]} objects")
    for b in bad:
        print(f"DAMAGE {b}")
    print("intact" if not bad else f"{len(bad)} damaged")
    return not bad


def verify_manifest(r, source, packs):
    n, last, dirs = 0, b"", {b""}
    for e in r.entries(source):
        check(not last or order(last) < order(e.path), f"entries do not ascend at {e.path!r}")
        if e.path.rpartition(b"/")[0] not in dirs:
            r.warn(f"{e.path!r}: has no entry for its directory")
        if e.kind == 2:
            dirs.add(e.path)
        last, n = e.path, n + 1
        pieces = list(r.content(e.refs, e.size - sum(x for _, x in e.holes)))
        if e.xattr_refs:
            pieces += r.content(e.xattr_refs[1], e.xattr_refs[0])
        for cls, cid, length in pieces:
            places = r.index.get((DATA, cls, cid), [])
            check(any(f.pack in packs and x == length for f, _, x in places), f"{e.path!r}: chunk {cid.hex()} missing")
        r.xattrs_of(e)
    if n != source["entries"]:
        r.warn(f"source {source['name']}: {n} entries, the snapshot says {source['entries']}")


# ---------------------------------------------------------------- command line
def show(e):
    kind = "?-dlpscb"[e.kind]
    more = b" -> " + e.target if e.kind == 3 else b""
    notes = [f"holes {len(e.holes)}"] * bool(e.holes) + [f"group {e.group:#x}"] * bool(e.flags & 2) + \
        [f"device {e.device[0]},{e.device[1]}"] * (e.kind in (6, 7)) + ["attributes"] * bool(e.flags & 12)
    return (f"{kind}{e.mode:04o} {e.owner[0]}:{e.owner[1]} {e.size:>12} {e.mtime[0]}.{e.mtime[1]:09} ".encode()
            + e.path + more + "".join(f"  [{x}]" for x in notes).encode())


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("repo")
    a.add_argument("--key-file")
    a.add_argument("--password-file", help="all bytes of the file but one line feed at its end")
    a.add_argument("--password")
    a.add_argument("--from-packs", action="store_true", help="use the packs' footers and not the index segments")
    a.add_argument("--owners", action="store_true", help="extract: set owners")
    a.add_argument("--all", action="store_true", help="snapshots: checkpoints too")
    a.add_argument("command", choices=["info", "snapshots", "index", "ls", "extract", "verify"])
    a.add_argument("args", nargs="*")
    o = a.parse_args()
    password = o.password.encode() if o.password is not None else None
    if o.password_file:
        password = Path(o.password_file).read_bytes().removesuffix(b"\n")
    r = Repo(o.repo)
    r.unlock(password, Path(o.key_file).read_bytes() if o.key_file else None)
    if o.command == "verify":
        return 0 if verify(r) else 1
    if o.command == "info":
        k, opened, valid, deleted = r.generations()
        print(f"repository {r.id.hex()} slot {r.slot_id.hex()} ring {r.ring.n} epoch {r.ring.body['epoch']}")
        print(f"closed generation {k}, open {opened}, V {len(valid)}, X {len(deleted)}, class S {(1, 1) in r.ring.id_keys}")
        print("profiles", *(p["name"] for p in r.config["profiles"]))
        return 0
    if o.command == "snapshots":
        for m in r.snapshots(o.all):
            print(m["sid"].hex(), m["gen"], m["seq"], m["state"], m["host"], m["job"], m["started_ns"],
                  *(f"{s['name']}:{s['kind']}:{s['status']}:{s['entries']}" for s in m["sources"]))
        return 0
    m = r.snapshot(o.args[0]) if o.command != "index" else None
    r.load_index(o.from_packs)
    if o.command == "index":
        print(f"{len(r.packs)} packs, {len(r.index)} chunks")
        for pack, (frames, _, _, length) in sorted(r.packs.items()):
            f = frames[0]
            print(pack, length, f"class {f.cls} purpose {f.purpose} frames {len(frames)}",
                  f"chunks {sum(len(x.chunks) for x in frames)} deltas {sum(x.kind == 2 for x in frames)}")
        return 0
    sources = [s for s in m["sources"] if s.get("root")]
    for i, s in enumerate(sources):
        if o.command == "ls":
            print(f"# {s['kind']} {s['name']}", flush=True)
            for e in r.entries(s):
                sys.stdout.buffer.write(show(e) + b"\n")
        else:
            to = Path(o.args[1]) if len(sources) == 1 else Path(o.args[1]) / f"source{i}"
            print(f"{s['name']}: {Extract(r, to, o.owners).all(r.entries(s))} entries in {to}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Damage as e:
        sys.exit(f"reader: {e}")
