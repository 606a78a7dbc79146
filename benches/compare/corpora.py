"""What is backed up: made from a seed, the same bytes at every run with the same seed and scale."""

import functools
import random
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Scale:
    """How much is made of each kind."""

    # Bytes taken of the source tree, in order of paths; none for all of it.
    source_bytes: int
    media_bytes: int
    database_bytes: int
    hour_count: int
    tiny_count: int
    tiny_many_count: int
    image_bytes: int
    # Of one database over many rounds.
    round_rows: int
    round_count: int


SCALES = {
    # For tests of this program: too little to measure.
    "smallest": Scale(2 * MIB, 4 * MIB, 2 * MIB, 2, 300, 600, 4 * MIB, 2_000, 2),
    "small": Scale(12 * MIB, 24 * MIB, 12 * MIB, 2, 2_000, 5_000, 24 * MIB, 20_000, 4),
    "medium": Scale(400 * MIB, 512 * MIB, 160 * MIB, 3, 50_000, 120_000, 384 * MIB, 250_000, 10),
    "full": Scale(None, 2048 * MIB, 480 * MIB, 5, 200_000, 500_000, 1024 * MIB, 1_000_000, 20),
}


@dataclass
class Corpus:
    """One kind of data. `make` fills a folder, each of `changes` alters it and has a name in reports."""

    scale: Scale
    seed: int
    name: str = field(init=False, default="")
    # One sentence for reports.
    about: str = field(init=False, default="")
    changes: list = field(init=False, default_factory=lambda: ["changed"])

    def plain_bytes(self):
        """About how many bytes it has, known before it is made."""
        raise NotImplementedError

    def file_count(self):
        """About how many files it has."""
        raise NotImplementedError

    def make(self, folder: Path):
        raise NotImplementedError

    def change(self, folder: Path, number: int):
        raise NotImplementedError

    def close(self):
        """Lets go of what it holds open."""

    def random(self, part):
        """Numbers for one part of the corpus, which do not depend on other parts."""
        return random.Random(f"{self.seed} {self.name} {part}")


@functools.lru_cache(maxsize=1)
def text(seed):
    """A long text to cut pieces from: texts of their own for all files and rows would take minutes to make."""
    return words(random.Random(f"{seed} text"), 2 * MIB)


def words(numbers, length):
    """Text of some length that compresses to about a third, as sources, logs and rows do."""
    picked = []
    size = 0
    while size < length:
        # The smaller of two numbers is skewed, as words are.
        word = VOCABULARY[min(numbers.getrandbits(12), numbers.getrandbits(12))]
        picked.append(word)
        size += len(word) + 1
    return " ".join(picked)[:length]


def _vocabulary():
    numbers = random.Random("vocabulary")
    letters = "etaoinshrdlucmfwypvbgkjqxz_0123456789"
    return ["".join(numbers.choices(letters[:26], k=numbers.randint(2, 10))) for _ in range(4096)]


VOCABULARY = _vocabulary()
