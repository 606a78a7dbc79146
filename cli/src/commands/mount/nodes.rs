//! Numbers for what the kernel knows, for as long as it knows them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use coffer_engine::browse::Listed;

/// What a number stands for.
#[derive(Debug, Clone)]
pub enum Node {
    /// A place of the layout.
    Place(usize),
    /// An entry of a snapshot, by the snapshot's number.
    Stored(usize, Listed),
}

/// Two entries with the same key are one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Path(usize, Vec<u8>),
    /// Snapshot, source, link group.
    Links(usize, usize, u64),
}

/// Inode numbers: those of the layout first, then those of entries, never used twice.
#[derive(Debug)]
pub struct Nodes {
    place_count: u64,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    held: HashMap<u64, Held>,
    numbers: HashMap<Key, u64>,
    next: u64,
}

#[derive(Debug)]
struct Held {
    key: Key,
    snapshot: usize,
    listed: Listed,
    /// How often the kernel was told the number.
    told: u64,
}

impl Nodes {
    pub fn new(place_count: usize) -> Self {
        let place_count = place_count as u64;
        let table = Table { held: HashMap::new(), numbers: HashMap::new(), next: place_count + 1 };
        Self { place_count, table: Mutex::new(table) }
    }

    /// The number of a place; the top has 1, as FUSE asks.
    pub fn of_place(place: usize) -> u64 {
        place as u64 + 1
    }

    /// What `number` stands for.
    pub fn get(&self, number: u64) -> Option<Node> {
        if number <= self.place_count {
            let place = number.checked_sub(1)?;
            return usize::try_from(place).ok().map(Node::Place);
        }
        let table = self.table();
        let held = table.held.get(&number)?;
        Some(Node::Stored(held.snapshot, held.listed.clone()))
    }

    /// The number of an entry that the kernel is about to be told.
    pub fn tell(&self, snapshot: usize, listed: &Listed) -> u64 {
        let key = match listed.entry.link_group {
            0 => Key::Path(snapshot, listed.entry.path.as_bytes().to_vec()),
            group => Key::Links(snapshot, listed.source, group),
        };
        let mut table = self.table();
        if let Some(number) = table.numbers.get(&key).copied() {
            if let Some(held) = table.held.get_mut(&number) {
                held.told += 1;
            }
            return number;
        }
        let number = table.next;
        table.next += 1;
        table.numbers.insert(key.clone(), number);
        table.held.insert(number, Held { key, snapshot, listed: listed.clone(), told: 1 });
        number
    }

    /// The kernel forgets what it was told `times` times.
    pub fn forget(&self, number: u64, times: u64) {
        let mut table = self.table();
        let Some(held) = table.held.get_mut(&number) else { return };
        held.told = held.told.saturating_sub(times);
        if held.told == 0
            && let Some(held) = table.held.remove(&number)
        {
            table.numbers.remove(&held.key);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
