"""Where restores go, and whether they gave back what was stored."""

import contextlib
import filecmp
import os
import shutil
import sqlite3
import stat
from pathlib import Path

import command
from command import Failed

# Room that a file system takes for itself, and for what a restore writes beside its files.
EXTRA_BYTES = 256 << 20
NODE_BYTES = 512


@contextlib.contextmanager
def fresh_target(folder, plain_bytes, file_count, mounted):
    """A new empty folder: the root of a new file system if `mounted`, which fails if that cannot be had.

    ext4 avoids what was deleted in it during the last minutes and is several times slower then, so that a restore
    would pay for the deletion of the one before.
    """
    image, target = folder / "restore.ext4", folder / "restore"
    target.mkdir()
    try:
        if mounted:
            _mount(image, target, plain_bytes, file_count)
        try:
            yield target
        finally:
            if mounted:
                command.run(["umount", target])
    finally:
        shutil.rmtree(target, ignore_errors=True)
        image.unlink(missing_ok=True)


def why_not_mounted(folder):
    """Why restores cannot get a file system of their own; nothing if they can."""
    if os.geteuid() != 0:
        return "only root can mount another"
    try:
        with fresh_target(folder, 1 << 20, 100, mounted=True):
            return ""
    except Failed as error:
        return str(error)


def _mount(image, target, plain_bytes, file_count):
    # Twice the bytes, since a tool may write a file beside the old one, and a block for the end of each file.
    size = 2 * plain_bytes + file_count * (4096 + NODE_BYTES) + EXTRA_BYTES
    with open(image, "wb") as made:
        made.truncate(size)
    nodes = ["-N", str(2 * file_count + 10000), "-m", "0"]
    # Tables made now, or the kernel would write them during the restore.
    now = ["-E", "lazy_itable_init=0,lazy_journal_init=0"]
    command.run(["mkfs.ext4", "-q", "-F", *nodes, *now, image])
    command.run(["mount", "-o", "loop", image, target])


def difference(source, target):
    """What differs between the source and its restore, or nothing. Some tools restore whole paths, some below
    the last folder: the source is looked for at both places."""
    whole = target / str(source).lstrip("/")
    roots = [root for root in [whole, target / source.name, target] if root.is_dir()]
    return _differs(source, roots[0])


def _differs(source, restored):
    here, there = set(os.listdir(source)), set(os.listdir(restored))
    databases = {name for name in here if name.endswith(".sqlite")}
    # What a database's log holds may be in its pages after a restore.
    beside = {name + end for name in databases for end in ["-wal", "-shm"]}
    missing = sorted((here ^ there) - beside)
    if missing:
        return f"{source / missing[0]}: only on one side"
    for name in sorted(here - beside):
        one, other = source / name, restored / name
        facts = one.lstat()
        if stat.S_IFMT(facts.st_mode) != stat.S_IFMT(other.lstat().st_mode):
            return f"{one}: another kind"
        if stat.S_ISDIR(facts.st_mode):
            found = _differs(one, other)
            if found:
                return found
        elif stat.S_ISLNK(facts.st_mode):
            if os.readlink(one) != os.readlink(other):
                return f"{one}: another target"
        elif name in databases:
            if rows(one) != rows(other):
                return f"{one}: other rows"
        elif stat.S_ISREG(facts.st_mode) and not filecmp.cmp(one, other, shallow=False):
            return f"{one}: other content"
    return ""


def rows(database):
    """The tables of a database, with the count of their rows and a sum over them."""
    connection = sqlite3.connect(database)
    try:
        tables = connection.execute("select name from sqlite_master where type = 'table' order by name").fetchall()
        sums = [connection.execute(f"select count(*), sum(length(body)), sum(amount), max(id) from {name}").fetchone()
                for (name,) in tables]
        return [tables, sums, connection.execute("pragma quick_check").fetchall()]
    finally:
        connection.close()
