"""Corpora that are many files: a source tree, media, tiny files."""

import collections
import os
import shutil
from pathlib import Path

from corpora import MIB, Corpus, text, words

FOLDER_FILES = 200
MEDIA_FOLDER_FILES = 4


class Source(Corpus):
    """A tree of sources that exists, or the first part of it."""

    def __init__(self, scale, seed, tree):
        super().__init__(scale, seed)
        self.name = "source"
        self.about = (
            "source code; changed: 1 % of the files edited, 0.2 % added, 0.2 % removed, a folder of 0.5 % renamed"
        )
        self.tree = Path(tree)
        self.chosen = self._choose()

    def plain_bytes(self):
        return sum(size for _, size in self.chosen)

    def file_count(self):
        return len(self.chosen)

    def make(self, folder):
        for name, _ in self.chosen:
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.tree / name, copy, follow_symlinks=False)

    def change(self, folder, number):
        numbers = self.random("change")
        files = [name for name, _ in self.chosen if not (folder / name).is_symlink()]
        for name in numbers.sample(files, max(1, len(files) // 100)):
            edit(folder / name, numbers)
        for name in numbers.sample(files, max(1, len(files) // 500)):
            (folder / name).unlink()
        for name in numbers.sample(files, max(1, len(files) // 500)):
            (folder / name).with_name(f"added-{numbers.getrandbits(32):08x}.c").write_text(words(numbers, 6000))
        renamed = self._folder_of(len(self.chosen) // 200)
        if renamed:
            (folder / renamed).rename(folder / f"{renamed}-renamed")

    def _folder_of(self, count):
        """The folder with about this many files in and below it; none if there is no folder."""
        counts = collections.Counter(str(above) for name, _ in self.chosen for above in Path(name).parents[:-1])
        return min(sorted(counts), key=lambda name: abs(counts[name] - count), default=None)

    def _choose(self):
        """Files of the tree with their sizes, in order of paths, up to the bytes of the scale."""
        chosen, total = [], 0
        for parent, folders, files in os.walk(self.tree):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(parent, name)
                size = os.lstat(path).st_size
                if self.scale.source_bytes is not None and total + size > self.scale.source_bytes:
                    return chosen
                chosen.append((os.path.relpath(path, self.tree), size))
                total += size
        return chosen


class Media(Corpus):
    """Photos and films: files of some MB that do not compress and do not repeat."""

    def __init__(self, scale, seed):
        super().__init__(scale, seed)
        self.name = "media"
        self.about = "random files of 0.5 to 8 MiB; changed: 1 % added, one file edited, a folder of four renamed"

    def plain_bytes(self):
        return self.scale.media_bytes

    def file_count(self):
        return self.plain_bytes() // (2 * MIB)

    def make(self, folder):
        numbers, total = self.random("files"), 0
        file_number = 0
        while total < self.plain_bytes():
            total += self._add(folder / f"{file_number // MEDIA_FOLDER_FILES:04}" / f"{file_number:06}.jpg", numbers)
            file_number += 1

    def change(self, folder, number):
        numbers, total = self.random("change"), 0
        while total < self.plain_bytes() // 100:
            total += self._add(folder / "new" / f"{total:012}.jpg", numbers)
        edited = sorted((folder / "0000").iterdir())[0]
        with open(edited, "r+b") as file:
            file.seek(1000)
            file.write(numbers.randbytes(1000))
        (folder / "0000").rename(folder / "0000-renamed")

    @staticmethod
    def _add(path, numbers):
        size = int(MIB * 2 ** numbers.uniform(-1, 3))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbers.randbytes(size))
        return size


class Tiny(Corpus):
    """A great many files of some hundred bytes, as mail and caches have."""

    def __init__(self, scale, seed, name, count):
        super().__init__(scale, seed)
        self.name = name
        self.count = count
        self.about = f"{count} files of 100 to 2000 bytes of text; changed: 1 % edited, 0.5 % added, 0.5 % removed"

    def plain_bytes(self):
        return self.count * 1050

    def file_count(self):
        return self.count

    def make(self, folder):
        numbers = self.random("files")
        for number in range(self.count):
            if number % FOLDER_FILES == 0:
                self._path(folder, number).parent.mkdir(parents=True)
            self._path(folder, number).write_text(self._content(number, numbers))

    def change(self, folder, number):
        numbers = self.random("change")
        edited = numbers.sample(range(self.count), max(3, self.count // 50))
        half = len(edited) // 2
        for number in edited[:half]:
            self._path(folder, number).write_text(self._content(number, numbers))
        for number in edited[half : half + half // 2]:
            self._path(folder, number).unlink()
        for number in range(max(1, half // 2)):
            (folder / f"added-{number:06}").write_text(self._content(number, numbers))

    @staticmethod
    def _path(folder, number):
        parent = number // FOLDER_FILES
        return folder / f"{parent // 100:03}" / f"{parent % 100:02}" / f"{number:07}.txt"

    def _content(self, number, numbers):
        long = text(self.seed)
        start, length = numbers.randrange(len(long) - 2000), numbers.randint(100, 2000)
        return f"{number:07} {long[start:start + length - 8]}"


def edit(path, numbers):
    """Replaces some bytes in the middle of a file and inserts a line, as an editor does."""
    content = path.read_bytes()
    at = numbers.randrange(len(content) + 1)
    path.write_bytes(content[:at] + words(numbers, 80).encode() + b"\n" + content[at + 40 :])
