"""How each program is told to do each step, and with which settings."""

from dataclasses import dataclass, field
from pathlib import Path

import command

PASSWORD = "compare"


@dataclass
class Command:
    """One command of a step. `into` is the folder it runs in."""

    argv: list
    into: Path = None


@dataclass
class Place:
    """Where one tool works in one run: its repository and all else that it keeps, in folders of its own."""

    root: Path
    source: Path
    snapshot_count: int = 0

    @property
    def repository(self):
        return self.root / "repository"

    @property
    def home(self):
        return self.root / "home"


@dataclass
class Tool:
    """A program under comparison. A step it does not have gives no commands."""

    program: Path
    name: str = ""
    settings: str = ""
    # What a step leaves out of what its name promises, told in every report.
    partial: dict = field(default_factory=dict)

    def version(self):
        """The program's own words."""
        return command.run([self.program, "--version"]).strip().splitlines()[0]

    def env(self, place):
        """What the commands need in their environment."""
        return {}

    def init(self, place):
        raise NotImplementedError

    def backup(self, place):
        """Stores the source; the number of snapshots before it is in `place`."""
        raise NotImplementedError

    def restore(self, place, target):
        """Restores the newest snapshot below `target`."""
        raise NotImplementedError

    def verify(self, place):
        """Reads and checks all stored data."""
        return []

    def forget(self, place):
        """Drops all snapshots but the newest and deletes what only they needed."""
        return []

    def _run(self, *words, into=None):
        return Command([str(self.program), *[str(word) for word in words]], into)


class Coffer(Tool):
    name = "coffer"
    settings = (
        "key file; zstd 3; every frame opened and compared again before it is stored; durable when it ends; forget keeps "
        "no unused data"
    )

    def __init__(self, program):
        super().__init__(program, self.name, self.settings)

    def env(self, place):
        return {
            "COFFER_REPOSITORY": str(place.repository),
            "COFFER_KEY_FILE": str(place.root / "key"),
            "COFFER_CACHE_DIR": str(place.root / "cache"),
            "COFFER_STATE_DIR": str(place.root / "state"),
        }

    def init(self, place):
        return [self._run("-q", "init")]

    def backup(self, place):
        return [self._run("-q", "backup", place.source)]

    def restore(self, place, target):
        return [self._run("-q", "restore", "latest", "--target", target)]

    def verify(self, place):
        return [self._run("-q", "verify")]

    def forget(self, place):
        rule = ["forget", "--keep-last", "1", "--prune"]
        return [self._run("-q", *rule, "--max-unused", "0", "--leave-newer", "0s")]


class WithoutDeltas(Coffer):
    """Coffer as it would be without its differences."""

    name = "coffer-full"
    settings = "as coffer, with --no-delta"

    def backup(self, place):
        return [self._run("-q", "backup", "--no-delta", place.source)]


class Restic(Tool):
    name = "restic"
    settings = "password (scrypt); compression auto, which is zstd's default level; forget keeps no unused data"

    def __init__(self, program):
        super().__init__(program, self.name, self.settings)

    def version(self):
        return command.run([self.program, "version"]).strip().splitlines()[0]

    def env(self, place):
        return {
            "RESTIC_REPOSITORY": str(place.repository),
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(place.root / "cache"),
            "RESTIC_COMPRESSION": "auto",
        }

    def init(self, place):
        return [self._run("-q", "init", "--repository-version", "2")]

    def backup(self, place):
        return [self._run("-q", "backup", place.source)]

    def restore(self, place, target):
        return [self._run("-q", "restore", "latest", "--target", target)]

    def verify(self, place):
        return [self._run("-q", "check", "--read-data")]

    def forget(self, place):
        return [self._run("-q", "forget", "--keep-last", "1", "--prune", "--max-unused", "0")]


class Rustic(Tool):
    name = "rustic"
    settings = "password (scrypt); zstd 3; forget deletes at once and keeps no unused data"

    def __init__(self, program):
        super().__init__(program, self.name, self.settings)

    def env(self, place):
        return {
            "RUSTIC_REPOSITORY": str(place.repository),
            "RUSTIC_PASSWORD": PASSWORD,
            "RUSTIC_CACHE_DIR": str(place.root / "cache"),
            "RUSTIC_NO_PROGRESS": "true",
            "RUSTIC_LOG_LEVEL": "error",
        }

    def init(self, place):
        return [self._run("init", "--set-compression", "3")]

    def backup(self, place):
        return [self._run("backup", place.source)]

    def restore(self, place, target):
        return [self._run("restore", "latest", target)]

    def verify(self, place):
        return [self._run("check", "--read-data")]

    def forget(self, place):
        words = ["--keep-last", "1", "--prune", "--instant-delete", "--max-unused", "0B", "--keep-pack", "0s"]
        return [self._run("forget", *words, "--keep-delete", "0s")]


class Borg(Tool):
    name = "borg"
    settings = "repokey-blake2 with a password; zstd 3; compact with threshold 0"

    def __init__(self, program):
        super().__init__(program, self.name, self.settings)

    def env(self, place):
        return {
            "BORG_REPO": str(place.repository),
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_BASE_DIR": str(place.home),
        }

    def init(self, place):
        return [self._run("init", "--encryption", "repokey-blake2")]

    def backup(self, place):
        archive = f"::{place.snapshot_count:04}"
        return [self._run("create", "--compression", "zstd,3", archive, place.source)]

    def restore(self, place, target):
        archive = f"::{place.snapshot_count - 1:04}"
        return [self._run("extract", archive, into=target)]

    def verify(self, place):
        return [self._run("check", "--verify-data")]

    def forget(self, place):
        return [self._run("prune", "--keep-last", "1"), self._run("compact", "--threshold", "0")]


class Bupstash(Tool):
    name = "bupstash"
    settings = "key file, no password; zstd 3; send log kept"

    def __init__(self, program):
        super().__init__(program, self.name, self.settings)
        self.partial = {"verify": "reads the newest snapshot only: it has no check of a whole repository"}

    def env(self, place):
        return {
            "BUPSTASH_REPOSITORY": str(place.repository),
            "BUPSTASH_KEY": str(place.root / "key"),
            "BUPSTASH_SEND_LOG": str(place.root / "send-log"),
            "BUPSTASH_QUERY_CACHE": str(place.root / "query-cache"),
        }

    def init(self, place):
        return [self._run("init"), self._run("new-key", "-o", place.root / "key")]

    def backup(self, place):
        words = ["--quiet", "--compression", "zstd:3", f"number={place.snapshot_count:04}", place.source]
        return [self._run("put", *words)]

    def restore(self, place, target):
        return [self._run("restore", "--quiet", "--into", target, self._newest(place))]

    def verify(self, place):
        return [self._run("get", "--quiet", self._newest(place))]

    def forget(self, place):
        older = [f"number={number:04}" for number in range(place.snapshot_count - 1)]
        removed = [self._run("rm", "--quiet", query) for query in older]
        return [*removed, self._run("gc", "--quiet")]

    @staticmethod
    def _newest(place):
        return f"number={place.snapshot_count - 1:04}"


TOOLS = {tool.name: tool for tool in [Coffer, WithoutDeltas, Restic, Rustic, Borg, Bupstash]}
# Peers that no registry used here has, and why they are left out.
UNSUPPORTED = {"kopia": "in none of Debian, PyPI and crates.io"}
