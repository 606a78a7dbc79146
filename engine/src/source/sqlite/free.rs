//! Pages that hold nothing any more: what was deleted may still stand in them.

use std::collections::HashMap;

use rusqlite::Connection;

use super::capture::Failure;

/// Where the first page says which page begins the list of free pages.
const FIRST_TRUNK_AT: usize = 32;
/// Bytes of a trunk before the numbers of its leaves: the next trunk, and how many leaves.
const TRUNK_HEAD_LEN: usize = 8;

/// The free pages of a database (the SQLite file format, "The Freelist").
pub(super) struct FreePages {
    /// Bytes at the start of each trunk that are in use: its list of leaves.
    trunks: HashMap<u64, usize>,
    /// One bit for each page that is a leaf, of which nothing is in use.
    leaves: Vec<u8>,
    page_count: u64,
}

impl FreePages {
    /// Follows the list inside the open transaction.
    pub(super) fn of(connection: &Connection) -> Result<Self, Failure> {
        let page_count: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let page_count = u64::try_from(page_count).map_err(|_| broken())?;
        let bitmap_len = usize::try_from(page_count / 8 + 1).map_err(|_| broken())?;
        let (trunks, leaves) = (HashMap::new(), vec![0; bitmap_len]);
        let mut free = Self { trunks, leaves, page_count };
        if page_count == 0 {
            return Ok(free);
        }
        let mut statement =
            connection.prepare("SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1")?;
        let mut page = |number: u64| -> Result<Vec<u8>, Failure> {
            let number = i64::try_from(number).map_err(|_| broken())?;
            Ok(statement.query_row([number], |row| row.get(0))?)
        };
        let mut trunk = word(&page(1)?, FIRST_TRUNK_AT)?;
        while trunk != 0 {
            free.check(trunk)?;
            let bytes = page(trunk)?;
            let count = word(&bytes, 4)? as usize;
            let used = TRUNK_HEAD_LEN + 4 * count;
            if used > bytes.len() {
                return Err(broken());
            }
            free.trunks.insert(trunk, used);
            for leaf in 0..count {
                free.add_leaf(word(&bytes, TRUNK_HEAD_LEN + 4 * leaf)?)?;
            }
            trunk = word(&bytes, 0)?;
        }
        Ok(free)
    }

    /// Fails for what cannot be a free page, or is one already.
    fn check(&self, number: u64) -> Result<(), Failure> {
        let is_possible = (2..=self.page_count).contains(&number) && !self.contains(number);
        if is_possible { Ok(()) } else { Err(broken()) }
    }

    fn add_leaf(&mut self, number: u64) -> Result<(), Failure> {
        self.check(number)?;
        let byte = usize::try_from(number / 8).ok().and_then(|at| self.leaves.get_mut(at));
        *byte.ok_or_else(broken)? |= 1 << (number % 8);
        Ok(())
    }

    fn is_leaf(&self, number: u64) -> bool {
        let byte = usize::try_from(number / 8).ok().and_then(|at| self.leaves.get(at));
        byte.is_some_and(|byte| byte >> (number % 8) & 1 == 1)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.is_leaf(number) || self.trunks.contains_key(&number)
    }

    /// Page `number` without what it holds beyond what is in use.
    pub(super) fn blank(&self, number: u64, page: &[u8]) -> Vec<u8> {
        let mut page = page.to_vec();
        let used = if self.is_leaf(number) { Some(&0) } else { self.trunks.get(&number) };
        if let Some(rest) = used.and_then(|used| page.get_mut(*used..)) {
            rest.fill(0);
        }
        page
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u64, Failure> {
    let four = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
    Ok(u64::from(u32::from_be_bytes(four.ok_or_else(broken)?)))
}

fn broken() -> Failure {
    let what = "its list of free pages is broken: store it without --zero-free-pages";
    Failure::Database(what.to_owned())
}
