"""One database over many rounds: as SQLite reads it, or dumped as text; changed every hour or every minute."""

import sqlite3

from corpora import Corpus, text

# Rows that change in an hour, as parts of all; in a minute a fiftieth of it.
UPDATED, ADDED = 200, 100
MINUTE = 50
ROWS_A_TRANSACTION = 20
# Hot: nine changes of ten hit the newest rows, this part of all.
HOT = 33

SCHEMA = """
pragma page_size = 4096;
pragma journal_mode = wal;
create table events (id integer primary key, customer integer not null, kind integer not null, token text not null,
    amount integer not null, at integer not null, body text not null);
create index by_customer on events (customer);
create index by_kind on events (kind);
create index by_token on events (token);
create index by_amount on events (amount);
create index by_at on events (at);
"""

NAMES = [f"{form}-{pace}{where}" for form in ["sqlite", "dump"] for pace in ["hourly", "minutely"]
         for where in ["", "-hot"]]


class Rounds(Corpus):
    """A table with five indexes. Nothing writes to it while it is backed up, and its WAL is empty, so that tools that
    copy files store what Coffer does."""

    def __init__(self, scale, seed, name):
        super().__init__(scale, seed)
        self.name = name
        self.is_dump = name.startswith("dump")
        self.is_hot = name.endswith("-hot")
        self.part = MINUTE if "minutely" in name else 1
        self.changes = [f"round {number}" for number in range(1, scale.round_count + 1)]
        form = "dumped as text in the order of its key" if self.is_dump else "as one SQLite file"
        rows = "nine of ten among the newest 3 %" if self.is_hot else "anywhere"
        self.about = (
            f"a table of {scale.round_rows} rows with five indexes, {form}; each round 1/{UPDATED * self.part} of the rows "
            f"are updated ({rows}; a third of them grow) and 1/{ADDED * self.part} are added"
        )
        self.connection = None

    def plain_bytes(self):
        return self.scale.round_rows * 320

    def file_count(self):
        return 1

    def make(self, folder):
        # The database a dump is made of is not backed up.
        place = folder.parent / "dumped" if self.is_dump else folder
        place.mkdir(exist_ok=True)
        self.connection = sqlite3.connect(place / "events.sqlite")
        self.connection.executescript(SCHEMA)
        # Nothing is lost that matters: no need to sync each of many transactions.
        self.connection.execute("pragma synchronous = off")
        self._insert(1, self.scale.round_rows, self.random("rows"))
        self._settle(folder)

    def change(self, folder, number):
        numbers = self.random(f"round {number}")
        (last,) = self.connection.execute("select max(id) from events").fetchone()
        updated = [self._row(last, numbers) for _ in range(max(1, last // UPDATED // self.part))]
        for start in range(0, len(updated), ROWS_A_TRANSACTION):
            for row in updated[start:start + ROWS_A_TRANSACTION]:
                self._update(row, numbers)
            self.connection.commit()
        self._insert(last + 1, max(1, last // ADDED // self.part), numbers)
        self._settle(folder)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def _row(self, last, numbers):
        if self.is_hot and numbers.random() < 0.9:
            return numbers.randint(last - last // HOT, last)
        return numbers.randint(1, last)

    def _update(self, row, numbers):
        more = " and more" if numbers.randrange(3) == 0 else ""
        statement = "update events set amount = ?, at = at + 1, body = body || ? where id = ?"
        self.connection.execute(statement, (numbers.randrange(1_000_000_000), more, row))

    def _insert(self, first, count, numbers):
        long = text(self.seed)

        def row(number):
            start, length = numbers.randrange(len(long) - 200), numbers.randint(40, 160)
            token = f"{numbers.getrandbits(96):024x}"
            facts = (number, numbers.randrange(100_000), numbers.randrange(40), token, numbers.randrange(1_000_000_000))
            return *facts, 1_700_000_000 + number, long[start:start + length]

        rows = map(row, range(first, first + count))
        self.connection.executemany("insert into events values (?, ?, ?, ?, ?, ?, ?)", rows)
        self.connection.commit()

    def _settle(self, folder):
        self.connection.execute("pragma wal_checkpoint(truncate)")
        if not self.is_dump:
            return
        with open(folder / "events.tsv", "w", encoding="utf-8") as dump:
            for row in self.connection.execute("select * from events order by id"):
                dump.write("\t".join(map(str, row)) + "\n")
