"""Databases of applications that run: SQLite in WAL mode, held open, changed from hour to hour."""

import sqlite3

from corpora import Corpus, text

NAMES = ["orders.sqlite", "events.sqlite", "pages.sqlite"]
ROW_BYTES = 420

# Ids go up; the second index is spread over the whole table, so that one row touches several pages.
SCHEMA = """
pragma page_size = 4096;
pragma journal_mode = wal;
create table rows (id integer primary key, customer integer not null, token text not null, amount integer not null,
    body text not null);
create index by_customer on rows (customer);
create index by_token on rows (token);
"""


class Databases(Corpus):
    """Three databases. While they are backed up an application has them open, with part of the newest rows in the
    WAL, but nothing writes: tools that copy files would store torn ones, and results would not be the same."""

    def __init__(self, scale, seed):
        super().__init__(scale, seed)
        self.name = "databases"
        self.changes = [f"hour {hour}" for hour in range(1, scale.hour_count + 1)]
        self.about = (
            "three SQLite databases in WAL mode with two indexes, open, idle while they are read; each hour: 0.5 % of "
            "the rows updated (half anywhere, half among the newest 5 %), 1 % added, 0.1 % removed"
        )
        self.connections = []

    def plain_bytes(self):
        return self.scale.database_bytes

    def file_count(self):
        return 3 * len(NAMES)

    def make(self, folder):
        for number, name in enumerate(NAMES):
            connection = sqlite3.connect(folder / name)
            self.connections.append(connection)
            connection.executescript(SCHEMA)
            # Nothing is lost that matters: no need to sync each of many transactions.
            connection.execute("pragma synchronous = off")
            count = self.plain_bytes() // len(NAMES) // ROW_BYTES
            self._insert(connection, range(1, count + 1), self.random(f"rows {number}"))
            connection.execute("pragma wal_checkpoint(truncate)")

    def change(self, folder, number):
        for place, connection in enumerate(self.connections):
            self._hour(connection, self.random(f"hour {number} {place}"))

    def close(self):
        for connection in self.connections:
            connection.close()
        self.connections = []

    def _hour(self, connection, numbers):
        (last,) = connection.execute("select max(id) from rows").fetchone()
        updated = [numbers.randint(1, last) for _ in range(last // 400)]
        updated += [numbers.randint(last - last // 20, last) for _ in range(last // 400)]
        changes = [(numbers.randrange(1_000_000), row) for row in updated]
        connection.executemany("update rows set amount = ? where id = ?", changes)
        removed = [(numbers.randint(1, last),) for _ in range(last // 1000)]
        connection.executemany("delete from rows where id = ?", removed)
        connection.commit()
        connection.execute("pragma wal_checkpoint(passive)")
        self._insert(connection, range(last + 1, last + last // 100 + 2), numbers)

    def _insert(self, connection, ids, numbers):
        long = text(self.seed)

        def row(number):
            start, length = numbers.randrange(len(long) - 600), numbers.randint(50, 500)
            token = f"{numbers.getrandbits(96):024x}"
            body = f'{{"id": {number}, "text": "{long[start:start + length]}"}}'
            return number, numbers.randrange(50_000), token, numbers.randrange(1_000_000), body

        connection.executemany("insert into rows values (?, ?, ?, ?, ?)", map(row, ids))
        connection.commit()
