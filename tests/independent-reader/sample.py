"""Makes a repository with the coffer binary and reads it back with the independent reader.

    sample.py COFFER VECTORS WORK     COFFER: the binary; VECTORS: format-spec/vectors; WORK: an empty directory
"""
import hashlib, json, os, random, shutil, socket, stat, subprocess, sys
from pathlib import Path

from primitives import DATA, Damage, H, KDF, KH, METADATA, U64, XOF, padded
from reader import Extract
from repo import Repo

HERE = Path(__file__).parent
PASSED, FAILED = [], []


def test(what, ok, why=""):
    (PASSED if ok else FAILED).append(what)
    if not ok:
        print(f"FAILED: {what}{': ' * bool(why)}{why}", file=sys.stderr)


# ---------------------------------------------------------------- the sample
class Sample:
    def __init__(self, coffer, work):
        self.coffer, self.work = coffer, work
        self.repo, self.source = work / "repository", work / "source"
        self.key, self.password, self.second_key = work / "key", work / "password", work / "second-key"
        self.snapshots = []         # what each snapshot must hold

    def run(self, *args, stdin=None, credential=None):
        credential = credential or ["--key-file", self.key]
        args = [self.coffer, "-r", self.repo, "--state-dir", self.work / "state", "--no-cache", *credential, *args]
        env = {k: v for k, v in os.environ.items() if not k.startswith("COFFER_")}
        p = subprocess.run(list(map(str, args)), input=stdin, capture_output=True, env=env)
        test(f"coffer {args[6]} ends well", p.returncode == 0, p.stderr.decode(errors="replace"))
        return p.stdout

    def backup(self, **more):
        self.run("backup", self.source, **more)
        self.snapshots.append(capture(self.source))

    def make(self):
        self.password.write_text("several words that nobody guesses 81\n")
        self.run("init")
        self.make_source()
        self.backup()
        self.change_source()
        self.run("key", "add", "--new-password-file", self.password, "--label", "password")      # ring 1
        self.backup(credential=["--password-file", self.password])
        self.run("key", "add", "--new-key-file", self.second_key)                               # ring 2
        with_second = Repo(self.repo)
        with_second.unlock(key_file=self.second_key.read_bytes())
        self.run("key", "remove", with_second.slot_id.hex())                                    # ring 3, epoch 1
        (self.source / "after the removal").write_bytes(random.Random(5).randbytes(70_000))
        self.backup()
        self.stream = b"".join(b"insert into t values (%d);\n" % i for i in range(60_000))
        self.run("backup", "--stdin", "--stdin-filename", "dump.sql", stdin=self.stream)

    def make_source(self):
        s, rng = self.source, random.Random(1)
        (s / "folder/deep/deeper").mkdir(parents=True)
        (s / "empty folder").mkdir()
        (s / "empty").write_bytes(b"")
        (s / "one byte").write_bytes(b"x")
        (s / "text").write_bytes(b"".join(b"line %d of a text\n" % i for i in range(30_000)))
        (s / "long").write_bytes(rng.randbytes(6 << 20))            # far more than 32 chunks
        (s / "zeros").write_bytes(bytes(12 << 20))                  # equal chunks in a row
        (s / "folder/copy of long").write_bytes((s / "long").read_bytes()[:3 << 20])
        with open(s / "sparse", "wb") as f:
            for at in (0, 1 << 20, 5 << 20):
                f.seek(at)
                f.write(rng.randbytes(70_000))
            f.truncate(9 << 20)
        with open(s / "only a hole", "wb") as f:
            f.truncate(1 << 20)
        os.link(s / "text", s / "folder/linked")
        os.link(s / "text", s / "a link before")
        os.symlink("../text", s / "folder/symlink")
        os.symlink(b"\xff nowhere", os.fsencode(s / "dangling"))
        os.mkfifo(s / "fifo")
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.getcwd()
            os.chdir(s)
            sock.bind("socket")
            os.chdir(here)
        (s / os.fsdecode(b"not UTF-8 \xfe\n")).write_bytes(b"a name of raw bytes")
        for i in range(3000):
            (s / f"folder/deep/file {i:04}").write_bytes(b"%d" % i)
        for path, name, value in ((s / "text", "user.short", b"value\0with zero"), (s / "folder", "user.folder", b""),
                                  (s / "one byte", "user.long", rng.randbytes(3000))):
            attribute(path, name, value)
        attribute(s / "one byte", "user.longer", rng.randbytes(900))
        os.chmod(s / "text", 0o4751)
        os.chmod(s / "folder", 0o1777)
        os.utime(s / "one byte", ns=(0, -1_500_000_001))
        os.utime(s / "empty folder", ns=(0, 4_000_000_000_123_456_789))

    def change_source(self):
        s = self.source
        b = bytearray((s / "long").read_bytes())
        b[3 << 20:3 << 20] = b"inserted in the middle"
        (s / "long").write_bytes(b)
        t = (s / "text").read_bytes().replace(b"line 15000 of", b"line 15000 changed of")
        (s / "text").write_bytes(t)
        (s / "empty").unlink()
        for i in range(0, 3000, 7):
            (s / f"folder/deep/file {i:04}").unlink()
        (s / "folder/new").write_bytes(b"new")


def attribute(path, name, value):
    try:
        os.setxattr(path, name, value)
    except OSError:
        print(f"note: this file system takes no attribute {name}", file=sys.stderr)


def capture(root):
    """path -> what an entry must say, and the bytes' hash"""
    out, groups = {}, {}
    for at, dirs, files in os.walk(os.fsencode(root)):
        for path in [at] * (at == os.fsencode(root)) + [os.path.join(at, n) for n in dirs + files]:
            st = os.lstat(path)
            kind = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFLNK: 3, stat.S_IFIFO: 4,
                    stat.S_IFSOCK: 5}[stat.S_IFMT(st.st_mode)]
            # A link's mode has no meaning, and a group is the set of the names seen.
            group = groups.setdefault((st.st_dev, st.st_ino), []) if kind != 2 and st.st_nlink > 1 else []
            group.append(path)
            out[path] = {
                "kind": kind, "mode": stat.S_IMODE(st.st_mode), "owner": (st.st_uid, st.st_gid), "inode": st.st_ino,
                "mtime": divmod(st.st_mtime_ns, 10**9), "ctime": divmod(st.st_ctime_ns, 10**9),
                "size": st.st_size if kind == 1 else 0, "target": os.readlink(path) if kind == 3 else b"",
                "xattrs": [(os.fsencode(n), os.getxattr(path, n, follow_symlinks=False))
                           for n in sorted(os.listxattr(path, follow_symlinks=False), key=os.fsencode)],
                "group": group, "sparse": kind == 1 and st.st_blocks * 512 < st.st_size,
                "hash": hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest() if kind == 1 else b""}
    return out


# ---------------------------------------------------------------- reading it
def same(found, wanted, keys, strip):
    """Differences between two captures, by path below a root."""
    found, wanted = ({p[n:]: e for p, e in c.items()} for c, n in ((found, strip[0]), (wanted, strip[1])))
    out = [f"only one has {p!r}" for p in found.keys() ^ wanted.keys()]
    for p in found.keys() & wanted.keys():
        out += [f"{p!r} {k}: {found[p][k]!r} is not {wanted[p][k]!r}"[:300] for k in keys if found[p][k] != wanted[p][k]]
        groups = [sorted(x[n:] for x in c[p]["group"]) for c, n in ((found, strip[0]), (wanted, strip[1]))]
        out += [f"{p!r} links: {groups}"] if groups[0] != groups[1] else []
    return out


def entries_as_capture(r, source):
    out, groups = {}, {}
    for e in r.entries(source):
        group = groups.setdefault(e.group, []) if e.flags & 2 else []
        path = b"/" + e.path
        group.append(path)
        digest = hashlib.sha256()
        holes, at = list(e.holes), 0
        for piece in (r.read_content(e.refs, e.size - sum(n for _, n in e.holes)) if e.kind == 1 else []):
            while piece:
                while holes and holes[0][0] == at:
                    digest.update(bytes(holes[0][1]))
                    at += holes.pop(0)[1]
                n = min(len(piece), holes[0][0] - at) if holes else len(piece)
                digest.update(piece[:n])
                piece, at = piece[n:], at + n
        for _, n in holes:
            digest.update(bytes(n))
        out[path] = {"kind": e.kind, "mode": e.mode, "owner": e.owner[:2], "inode": e.inode, "mtime": e.mtime,
                     "ctime": e.ctime, "size": e.size, "target": e.target, "xattrs": r.xattrs_of(e), "group": group,
                     "sparse": bool(e.holes), "hash": digest.digest() if e.kind == 1 else b""}
    return out


def opened(root, **credential):
    r = Repo(root)
    r.unlock(**credential)
    return r


def read_snapshots(sample, what, from_packs=False, **credential):
    r = opened(sample.repo, **credential)
    found = r.snapshots()
    r.load_index(from_packs)
    test(f"{what}: all snapshots are there", len(found) == len(sample.snapshots) + 1)
    root = os.fsencode(sample.source)
    keys = "kind mode owner inode mtime ctime size target xattrs sparse hash".split()
    for i, (m, wanted) in enumerate(zip(found, sample.snapshots)):
        all_found = entries_as_capture(r, m["sources"][0])
        above = {p for p in all_found if not (p == root or p.startswith(root + b"/"))}
        test(f"{what}: snapshot {i} has the directories above its root",
             above == {root[:k] for k in range(1, len(root)) if root[k:k + 1] == b"/"})
        differ = same({p: e for p, e in all_found.items() if p not in above}, wanted, keys, (len(root), len(root)))
        test(f"{what}: snapshot {i} is the source", not differ, "; ".join(differ[:4]))
        test(f"{what}: snapshot {i} counts its entries", m["sources"][0]["entries"] == len(all_found))
    m = found[-1]
    stream = [(e.path, b"".join(r.read_content(e.refs, e.size))) for e in r.entries(m["sources"][0])]
    test(f"{what}: the stream is there", stream == [(b"dump.sql", sample.stream)])
    test(f"{what}: nothing to warn of", not r.warnings, "; ".join(r.warnings))
    return r


def extract(sample):
    r = opened(sample.repo, key_file=sample.key.read_bytes())
    found = r.snapshots()
    r.load_index()
    keys = "kind mode mtime size target xattrs hash sparse".split()
    for i, (m, wanted) in enumerate(zip(found, sample.snapshots)):
        to = sample.work / f"extracted-{i}"
        Extract(r, to, False).all(r.entries(m["sources"][0]))
        root = os.fsencode(sample.source)
        below = os.fsencode(to) + root
        keep = {k: {**v, "sparse": 0} for k, v in wanted.items()}
        got = {k: {**v, "sparse": 0} for k, v in capture(os.fsdecode(below)).items()}
        differ = same(got, keep, keys, (len(below), len(root)))
        test(f"extract: snapshot {i} is the source", not differ, "; ".join(differ[:4]))


def reader(*args):
    return subprocess.run([sys.executable, HERE / "reader.py", *map(str, args)], capture_output=True, text=True)


def features(sample, r):
    """The sample has what it is for; otherwise the rest proves less than it says."""
    test("three changes of keys made rings", r.ring.n == 3 and r.ring.body["epoch"] == 1, f"ring {r.ring.n}")
    frames = [f for fs, *_ in r.packs.values() for f in fs]
    epochs = {int.from_bytes(f.header[4:8], "little") for f in frames}
    test("packs are of two epochs", epochs == {0, 1}, str(epochs))
    test("frames are raw and compressed", {f.codec for f in frames} == {0, 1})
    test("packs hold data and metadata", {f.purpose for f in frames} == {DATA, METADATA})
    heights = {x["root"]["height"] for m in r.snapshots() for x in m["sources"]}
    test("manifests have tables", max(heights) >= 1)
    tree = list(r.entries(r.snapshots()[0]["sources"][0]))
    test("a content is an id list", any(e.flags & 32 for e in tree))
    test("a file has holes", any(e.holes for e in tree))


def refusals(sample):
    for what, credential in (("another key file", {"key_file": bytes(32)}), ("a wrong password", {"password": b"x"}),
                             ("the removed key file", {"key_file": sample.second_key.read_bytes()})):
        try:
            opened(sample.repo, **credential)
            test(f"{what} opens nothing", False)
        except Damage as e:
            test(f"{what} opens nothing", "no slot opens" in str(e), str(e))


def damages(sample):
    """A canary for each folder: one flipped bit is found."""
    harmed = sample.work / "harmed"
    for prefix in ("packs", "index", "snapshots", "rings", "config"):
        shutil.copytree(sample.repo, harmed)
        name = sorted(p for p in harmed.rglob("*") if p.is_file() and str(p.relative_to(harmed)).startswith(prefix))[0]
        b = bytearray(name.read_bytes())
        b[len(b) // 2] ^= 1
        name.chmod(0o600)
        name.write_bytes(b)
        p = reader(harmed, "--key-file", sample.key, "verify")
        test(f"a flipped bit below {prefix} is found", p.returncode == 1 and "Traceback" not in p.stderr, p.stderr)
        shutil.rmtree(harmed)


def golden(vectors, work):
    """The golden vectors are a repository too; and their plain values are what this code computes."""
    told = json.loads((vectors / "vectors.json").read_text())
    for o in told["objects"]:
        b = (vectors / o["file"]).read_bytes()
        test(f"vector {o['file']} has its hash", H(b).hex() == o["blake3"])
        if "name" in o and not o["name"] == "rings/0":
            to = work / "golden" / o["name"]
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(b)
            if o["name"] in ("config", "rings/1", "rings/2", "gen/1.close"):
                Path(f"{to}.copy").write_bytes(b)
    credentials = {"key_file": bytes.fromhex(told["credentials"]["key_file"])}, \
        {"password": told["credentials"]["password"].encode()}
    for credential in credentials:
        r = opened(work / "golden", **credential)
        r.load_index()
        may_read = lambda cls: (DATA, cls) in r.ring.id_keys
        for c in filter(lambda c: may_read(c["class"]), told["chunks"]):
            plain = bytes.fromhex(c["plain"])
            test(f"golden chunk {c['chunk']}", r.chunk(DATA, c["class"], bytes.fromhex(c["id"])) == plain)
        for o in told["objects"]:
            cls = int(o["file"] == "page-secret.node")
            if "chunk_id" in o and may_read(cls):
                node = r.chunk(METADATA, cls, bytes.fromhex(o["chunk_id"]))
                test(f"golden node {o['file']}", node == (vectors / o["file"]).read_bytes())
        m, = r.snapshots()
        held = [s for s in m["sources"] if s.get("root") and may_read(s["root"]["class"])]
        counts = [len(list(r.entries(s))) for s in held]
        test("golden snapshot", counts == [15, 1, 2][:2 + may_read(1)] and len(r.snapshots(True)) == 2, str(counts))
        test("golden objects are without a flaw", not r.warnings, "; ".join(r.warnings))
    for name in ("key_file", "password"):
        value = told["credentials"][name]
        (work / name).write_text(value + "\n")
        p = reader(work / "golden", "--" + name.replace("_", "-") + "-file" * (name == "password"), work / name, "verify")
        # The password's slot may not read secrets: that is told, and no damage.
        is_told = ("no key of class 1" in p.stderr) == (name == "password")
        whole = p.returncode == 0 and is_told and (name == "password" or not p.stderr)
        test(f"golden repository verifies with the {name}", whole, p.stdout + p.stderr)
        for x in told["ids"]:
            if (DATA, x["class"]) in r.ring.id_keys:
                plain = bytes.fromhex(x["plain"])
                ids = [KH(r.ring.id_keys[p, x["class"]], plain).hex() for p in (DATA, METADATA)]
                test("golden ids", ids == [x["data_id"], x["metadata_id"]])
    table = json.loads((vectors / "padding.json").read_text())["padded"]
    test("golden padding", all(padded(max(n, 2)) == m for n, m in table))
    chunking(json.loads((vectors / "chunking.json").read_text()), r.config["chunker_secret"])


MASKS = {16384: (0x0000d90303537000, 0x0000d90103530000), 32768: (0x0000d90703537000, 0x0000d90303530000),
         65536: (0x0000d90707537000, 0x0000d90313530000), 131072: (0x0000d91707537000, 0x0000d90f03530000),
         262144: (0x0000d91747537000, 0x0000d90303537000),
         1048576: (0x0000d93767537000, 0x0000d90707537000)}


def cut(b, gear, low, avg, high):
    """Page 7: the length of the next chunk."""
    if len(b) <= low:
        return len(b)
    m = min(len(b), high)
    c, h, i = min(avg, m), 0, low
    for mask, end in zip(MASKS[avg], (c // 2 * 2, m // 2 * 2)):
        while i < end:
            h = (h << 1) + gear[b[i]] & U64 - 1
            if not h & mask:
                return i
            i += 1
    return m


def chunking(told, secret):
    raw = XOF("coffer v1 gear table", secret, 2048)
    test("golden gear table", raw.hex() == told["gear_table"])
    test("golden page cut key", KDF("coffer v1 page cut", secret).hex() == told["page_cut_key"])
    gear = [int.from_bytes(raw[i:i + 8], "little") for i in range(0, 2048, 8)]
    noise = XOF(None, b"coffer vectors: input", 8 << 20)
    inputs = {"noise": noise, "short": noise[:16384], "odd": noise[:100_001], "zeros": bytes((5 << 20) + 1),
              "text": b"".join(b"chunked line %d\n" % i for i in range(200_000))}
    for x in told["inputs"]:
        test(f"golden input {x['input']}", H(inputs[x["input"]]).hex() == x["blake3"])
    for x in told["cuts"]:
        b, at = inputs[x["input"]], 0
        test(f"golden cuts of {x['input']} reach the end", sum(x["lengths"]) == len(b))
        for n in x["lengths"]:
            if at > 1 << 20:        # the loop is slow; the last chunk is looked at besides
                break
            test(f"golden cut {x['profile']} {x['input']} at {at}",
                 cut(b[at:at + x["max"]], gear, x["min"], x["avg"], x["max"]) == n)
            at += n
        at = len(b) - x["lengths"][-1]
        test(f"golden last cut {x['profile']} {x['input']}",
             cut(b[at:], gear, x["min"], x["avg"], x["max"]) == len(b) - at)


def main():
    coffer, vectors, work = map(Path, sys.argv[1:4])
    sample = Sample(coffer.resolve(), work.resolve())
    sample.make()
    key, password = sample.key.read_bytes(), sample.password.read_bytes().removesuffix(b"\n")
    r = read_snapshots(sample, "key file", key_file=key)
    features(sample, r)
    read_snapshots(sample, "password", password=password)
    read_snapshots(sample, "without the index", from_packs=True, key_file=key)
    extract(sample)
    for credential in (("--key-file", sample.key), ("--password-file", sample.password)):
        p = reader(sample.repo, *credential, "verify")
        test(f"verify with {credential[0]}", p.returncode == 0 and not p.stderr, p.stdout + p.stderr)
    for command in ("info", "snapshots", "index", "ls"):
        p = reader(sample.repo, "--key-file", sample.key, command, *(["latest"] if command == "ls" else []))
        test(f"reader {command}", p.returncode == 0 and p.stdout, p.stderr)
    refusals(sample)
    damages(sample)
    if vectors.is_dir():
        golden(vectors, work)
    print(f"independent reader: {len(PASSED)} passed, {len(FAILED)} failed")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
