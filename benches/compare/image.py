"""The image of a machine's disk: one large file whose blocks change, or move."""

from corpora import MIB, Corpus, text

BLOCK = 4096
FILE = "disk.img"


class Image(Corpus):
    """Runs of zeros, of text, of random bytes and of blocks that stand elsewhere too."""

    def __init__(self, scale, seed):
        super().__init__(scale, seed)
        self.name = "image"
        self.changes = ["blocks", "shifted"]
        self.about = (
            "one file: 20 % zeros, 40 % text, 25 % random, 15 % repeated; blocks: 1 % of the 4 KiB blocks written "
            "anew, anywhere; shifted: 1,234,567 bytes inserted at a tenth, so that all behind them moves"
        )

    def plain_bytes(self):
        return self.scale.image_bytes

    def file_count(self):
        return 1

    def make(self, folder):
        numbers, written, kept = self.random("runs"), 0, [b"\0" * MIB]
        with open(folder / FILE, "wb") as file:
            while written < self.plain_bytes():
                kind, length = numbers.random(), BLOCK * numbers.randint(1, 256)
                if kind < 0.2:
                    run = bytes(length)
                elif kind < 0.6:
                    run = self._text(numbers, length)
                elif kind < 0.85:
                    run = numbers.randbytes(length)
                else:
                    run = numbers.choice(kept)[:length]
                if 0.2 <= kind < 0.85:
                    # A few of the runs, for those that repeat.
                    kept = [*kept[-15:], run]
                written += file.write(run)

    def change(self, folder, number):
        if self.changes[number - 1] == "blocks":
            self._write_blocks(folder / FILE)
        else:
            self._insert(folder / FILE)

    def _write_blocks(self, path):
        numbers, count = self.random("blocks"), path.stat().st_size // BLOCK
        with open(path, "r+b") as file:
            for block in sorted(numbers.sample(range(count), max(1, count // 100))):
                file.seek(block * BLOCK)
                file.write(self._text(numbers, BLOCK))

    def _insert(self, path):
        inserted = self.random("insert").randbytes(1_234_567)
        shifted = path.with_suffix(".new")
        with open(path, "rb") as file, open(shifted, "wb") as new:
            new.write(file.read(path.stat().st_size // 10))
            new.write(inserted)
            while part := file.read(8 * MIB):
                new.write(part)
        # The same file with other bytes, as an image in use is.
        with open(shifted, "rb") as new, open(path, "r+b") as file:
            while part := new.read(8 * MIB):
                file.write(part)
        shifted.unlink()

    def _text(self, numbers, length):
        long = text(self.seed)
        start = numbers.randrange(len(long) - length)
        # Marked, or runs of one text would repeat each other.
        pieces = (f"{numbers.getrandbits(64):016x}{long[at:at + 240]}" for at in range(start, start + length, 256))
        return "".join(pieces).encode()[:length]
