//! The pages of a database, one after the other.

use std::io;

use rusqlite::backup::Backup;
use rusqlite::{Connection, MAIN_DB};

use super::capture::{Failure, Give, Given};
use super::free::FreePages;
use super::tree_hash::{GROUP_LEN, GroupHash, TreeHash};
use super::wire::BLOCK_LEN;

/// Bytes of a database that is copied in memory.
const COPIED_LEN_MAX: u64 = 1 << 30;

/// Groups of a state that is remembered: of 64 GiB.
const REMEMBERED_COUNT_MAX: usize = 1 << 20;

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

/// The groups of a state, to tell whether those of another are the same.
#[derive(Default)]
pub(super) struct Remembered {
    /// BLAKE3 of all pages; empty for no state.
    pub blake3: String,
    groups: Vec<GroupHash>,
}

/// Gathers pages to blocks, hashes them, and gives them on, but for chunks that are known.
pub(super) struct Blocks<'g> {
    give: Give<'g>,
    block: Vec<u8>,
    /// Bytes of the block that are hashed.
    hashed: usize,
    hash: TreeHash,
    /// Bytes of a chunk; 0 if all are given.
    chunk_len: usize,
    /// What the groups were, none if that does not matter, and what they are.
    before: Vec<GroupHash>,
    now: Vec<GroupHash>,
    /// Known chunks that come before the block.
    same_count: u32,
}

impl<'g> Blocks<'g> {
    /// Gives all pages.
    pub(super) fn new(give: Give<'g>) -> Self {
        Self::after(Remembered::default(), 0, give)
    }

    /// Gives the chunks, of so many bytes, that are others than before; of 0 bytes, all.
    pub(super) fn after(before: Remembered, chunk_len: u32, give: Give<'g>) -> Self {
        Self {
            give,
            block: Vec::with_capacity(BLOCK_LEN),
            hashed: 0,
            hash: TreeHash::default(),
            chunk_len: chunk_len as usize,
            before: before.groups,
            now: Vec::new(),
            same_count: 0,
        }
    }

    /// Adds a page, whose length divides that of a group.
    pub(super) fn push(&mut self, page: &[u8]) -> Result<(), Failure> {
        self.block.extend_from_slice(page);
        if self.block.len() - self.hashed >= GROUP_LEN {
            self.end_group(false)?;
        }
        Ok(())
    }

    fn end_group(&mut self, is_last: bool) -> Result<(), Failure> {
        let group = self.hash.add(&self.block[self.hashed..]);
        self.hashed = self.block.len();
        if self.chunk_len > 0 && self.now.len() < REMEMBERED_COUNT_MAX {
            self.now.push(group);
            let groups_in_chunk = self.chunk_len / GROUP_LEN;
            let in_chunk = (self.now.len() - 1) % groups_in_chunk + 1;
            if in_chunk == groups_in_chunk || is_last {
                self.end_chunk(in_chunk)?;
            }
        }
        if self.block.len() >= BLOCK_LEN { self.send() } else { Ok(()) }
    }

    /// A chunk of the last `count` groups has ended: it is left out if it is known.
    fn end_chunk(&mut self, count: usize) -> Result<(), Failure> {
        let start = self.now.len() - count;
        let is_same = self.before.get(start..self.now.len()) == self.now.get(start..);
        if !is_same {
            return self.send_same();
        }
        let rest = (self.block.len() - 1) % self.chunk_len + 1;
        self.block.truncate(self.block.len() - rest);
        self.hashed = self.block.len();
        self.send()?;
        self.same_count += 1;
        Ok(())
    }

    fn send_same(&mut self) -> Result<(), Failure> {
        let count = std::mem::take(&mut self.same_count);
        if count == 0 {
            return Ok(());
        }
        (self.give)(Given::Same(count)).map_err(Failure::Client)
    }

    fn send(&mut self) -> Result<(), Failure> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.send_same()?;
        let sent: io::Result<()> = (self.give)(Given::Block(&self.block));
        self.block.clear();
        self.hashed = 0;
        sent.map_err(Failure::Client)
    }

    /// Gives the rest; BLAKE3 of all pages, and the groups if they are to be remembered.
    pub(super) fn finish(mut self) -> Result<Remembered, Failure> {
        if self.block.len() > self.hashed {
            self.end_group(true)?;
        }
        self.send_same()?;
        self.send()?;
        let is_long = self.now.len() >= REMEMBERED_COUNT_MAX;
        let groups = if is_long { Vec::new() } else { self.now };
        Ok(Remembered { blake3: self.hash.finish().to_hex().to_string(), groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of it that has the old bytes.
    fn given(old: &[u8], new: &[u8], chunk_len: usize) -> (Vec<u8>, usize) {
        let read = |bytes: &[u8], before: Remembered, give: Give<'_>| {
            let mut blocks = Blocks::after(before, chunk_len as u32, give);
            bytes.chunks(4096).for_each(|page| blocks.push(page).unwrap());
            blocks.finish().unwrap()
        };
        let mut ignore = |_: Given<'_>| -> io::Result<()> { Ok(()) };
        let before = read(old, Remembered::default(), &mut ignore);
        assert_eq!(before.blake3, blake3::hash(old).to_hex().as_str());
        let (mut made, mut sent) = (Vec::new(), 0);
        let mut take = |given: Given<'_>| -> io::Result<()> {
            match given {
                Given::Block(block) => {
                    made.extend_from_slice(block);
                    sent += block.len();
                }
                Given::Same(count) => {
                    assert!(count > 0 && made.len() % chunk_len == 0);
                    let end = old.len().min(made.len() + count as usize * chunk_len);
                    made.extend_from_slice(&old[made.len()..end]);
                }
                Given::Begun(_) | Given::Released => {}
            }
            Ok(())
        };
        let after = read(new, before, &mut take);
        assert_eq!(after.blake3, blake3::hash(new).to_hex().as_str());
        (made, sent)
    }

    #[test]
    fn only_chunks_that_changed_are_given() {
        let old: Vec<u8> = (0..60 * 65_536 / 8 + 512_u64).flat_map(u64::to_le_bytes).collect();
        for chunk_len in [GROUP_LEN, 2 * GROUP_LEN, 8 * GROUP_LEN] {
            let check = |new: &[u8], changed: std::ops::RangeInclusive<usize>| {
                let (made, sent) = given(&old, new, chunk_len);
                assert!(made == new, "{chunk_len}");
                assert!(changed.contains(&sent.div_ceil(chunk_len)), "{sent} of {chunk_len}");
            };
            check(&old, 0..=0);
            for at in [0, 65_535, 65_536, 20 * 65_536, old.len() - 1] {
                let mut new = old.clone();
                new[at] ^= 1;
                check(&new, 1..=1);
                new[300_000] ^= 1;
                check(&new, 1..=2);
            }
            check(&old[..old.len() - 4096], 0..=1);
            check(&old[..4096], 1..=1);
            check(&[&old[..], &[7; 300 * 4096]].concat(), 1..=20);
            check(&[], 0..=0);
            let other: Vec<u8> = old.iter().map(|byte| !byte).collect();
            check(&other, 60 * GROUP_LEN / chunk_len..=60 * GROUP_LEN / chunk_len + 1);
        }
    }
}
