//! The pages of a database, one after the other.

use std::io;

use rusqlite::backup::Backup;
use rusqlite::{Connection, MAIN_DB};

use super::capture::{Failure, Give, Given};
use super::free::FreePages;
use super::tree_hash::{GROUP_LEN, TreeHash};
use super::wire::BLOCK_LEN;

/// Bytes of a database that is copied in memory.
const COPIED_LEN_MAX: u64 = 1 << 30;

/// Calls `take` with every page inside the open transaction, without what free pages hold if that is
/// wanted.
pub(super) fn each(
    connection: &Connection,
    len: u64,
    zero_free_pages: bool,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !has_page_table(connection)? {
        if zero_free_pages {
            let what =
                "this build cannot overwrite free pages: its SQLite lacks the table of pages";
            return Err(Failure::Database(what.to_owned()));
        }
        return copied(connection, len, take);
    }
    let free = zero_free_pages.then(|| FreePages::of(connection)).transpose()?;
    let mut statement = connection.prepare("SELECT data FROM sqlite_dbpage('main')")?;
    let mut rows = statement.query([])?;
    let mut number = 0;
    while let Some(row) = rows.next()? {
        let page = row.get_ref(0)?;
        let page = page.as_blob().map_err(|error| Failure::Database(error.to_string()))?;
        number += 1;
        match &free {
            Some(free) if free.contains(number) => take(&free.blank(number, page))?,
            _ => take(page)?,
        }
    }
    Ok(())
}

/// True if this SQLite was built with the table of pages.
fn has_page_table(connection: &Connection) -> Result<bool, Failure> {
    let sql = "SELECT sqlite_compileoption_used('ENABLE_DBPAGE_VTAB')";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Without the table of pages: a copy in memory by the backup interface, in one step.
fn copied(
    connection: &Connection,
    len: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if len > COPIED_LEN_MAX {
        let what = "it is too long for this build, whose SQLite lacks the table of pages";
        return Err(Failure::Database(what.to_owned()));
    }
    let mut copy = Connection::open_in_memory()?;
    Backup::new(connection, &mut copy)?.step(-1)?;
    let image = copy.serialize(MAIN_DB)?;
    image.chunks(GROUP_LEN).try_for_each(take)
}

/// Gathers pages to blocks, hashes them, and gives them on.
pub(super) struct Blocks<'g> {
    give: Give<'g>,
    block: Vec<u8>,
    /// Bytes of the block that are hashed.
    hashed: usize,
    hash: TreeHash,
}

impl<'g> Blocks<'g> {
    pub(super) fn new(give: Give<'g>) -> Self {
        let (block, hash) = (Vec::with_capacity(BLOCK_LEN), TreeHash::default());
        Self { give, block, hashed: 0, hash }
    }

    /// Adds a page, whose length divides that of a group.
    pub(super) fn push(&mut self, page: &[u8]) -> Result<(), Failure> {
        self.block.extend_from_slice(page);
        if self.block.len() - self.hashed >= GROUP_LEN {
            self.end_group()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), Failure> {
        self.hash.add(&self.block[self.hashed..]);
        self.hashed = self.block.len();
        if self.block.len() >= BLOCK_LEN { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Failure> {
        let sent: io::Result<()> = (self.give)(Given::Block(&self.block));
        self.block.clear();
        self.hashed = 0;
        sent.map_err(Failure::Client)
    }

    /// Gives the rest; BLAKE3 of all pages.
    pub(super) fn finish(mut self) -> Result<blake3::Hash, Failure> {
        if self.block.len() > self.hashed {
            self.end_group()?;
        }
        if !self.block.is_empty() {
            self.send()?;
        }
        Ok(self.hash.finish())
    }
}
