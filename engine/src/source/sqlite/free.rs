//! Pages that hold nothing any more: what was deleted may still stand in them.

use std::collections::HashMap;

use rusqlite::Connection;

use super::capture::Failure;

/// Where the first page says which page begins the list of free pages, and how many there are.
const FIRST_TRUNK_AT: usize = 32;
const COUNT_AT: usize = 36;
/// Bytes of a trunk before the numbers of its leaves: the next trunk, and how many leaves.
const TRUNK_HEAD_LEN: usize = 8;

/// The free pages of a database, and how many bytes at the start of each are in use: none of a leaf,
/// of a trunk its list of leaves (the SQLite file format, "The Freelist").
#[derive(Default)]
pub(super) struct FreePages(HashMap<u64, usize>);

impl FreePages {
    /// Follows the list inside the open transaction.
    pub(super) fn of(connection: &Connection) -> Result<Self, Failure> {
        let mut statement =
            connection.prepare("SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1")?;
        let mut page = |number: u64| -> Result<Vec<u8>, Failure> {
            let number = i64::try_from(number).map_err(|_| broken())?;
            Ok(statement.query_row([number], |row| row.get(0))?)
        };
        let first = page(1)?;
        let count = word(&first, COUNT_AT)?;
        let mut free = HashMap::new();
        let mut trunk = word(&first, FIRST_TRUNK_AT)?;
        while trunk != 0 {
            let bytes = page(trunk)?;
            let leaves = word(&bytes, 4)? as usize;
            let used = TRUNK_HEAD_LEN + 4 * leaves;
            if used > bytes.len() || free.insert(trunk, used).is_some() {
                return Err(broken());
            }
            for leaf in 0..leaves {
                free.insert(word(&bytes, TRUNK_HEAD_LEN + 4 * leaf)?, 0);
            }
            if free.len() as u64 > count {
                return Err(broken());
            }
            trunk = word(&bytes, 0)?;
        }
        Ok(Self(free))
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.contains_key(&number)
    }

    /// Page `number` without what it holds beyond what is in use.
    pub(super) fn blank(&self, number: u64, page: &[u8]) -> Vec<u8> {
        let mut page = page.to_vec();
        if let Some(rest) = self.0.get(&number).and_then(|used| page.get_mut(*used..)) {
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
    Failure::Database("its list of free pages is broken: they cannot be overwritten".to_owned())
}
