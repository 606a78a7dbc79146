use std::collections::VecDeque;

use super::align::{Align, OldChunk};
use crate::chunk::{Cutter, standard_profiles};
use crate::model::{ChunkId, Entropy};

/// Chunks, each with a number that tells where it came from and its length.
type Lens = Vec<(u64, u32)>;

fn id(number: u64, changed: u64) -> ChunkId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id[8..16].copy_from_slice(&changed.to_le_bytes());
    ChunkId(id)
}

fn random(entropy: &Entropy, end: u64) -> u64 {
    u64::from_le_bytes(entropy.bytes()) % end
}

fn older(entropy: &Entropy, count: u64) -> Lens {
    (0..count).map(|number| (number, 16_384 + random(entropy, 200_000) as u32)).collect()
}

fn window(lens: &Lens) -> VecDeque<OldChunk<()>> {
    let mut start = 0;
    let chunks = lens.iter().map(|(number, len)| {
        let chunk = OldChunk { start, len: *len, id: id(*number, 0), known: () };
        start = chunk.end();
        chunk
    });
    chunks.collect()
}

/// How many of the newer chunks are taken for the older ones they came from, to 8 KiB. A number that
/// is not among the older ones is of something new.
fn hits(lens: &Lens, newer: &[(u64, u32)], changed: u64) -> usize {
    let (window, mut align) = (window(lens), Align::default());
    let is_hit = |(number, len): &(u64, u32)| {
        let range = align.next(&window, &id(*number, changed), *len);
        window.get(*number as usize).is_some_and(|old| {
            range.start.abs_diff(old.start) <= 8192 && range.end.abs_diff(old.end()) <= 8192
        })
    };
    newer.iter().map(is_hit).filter(|hit| *hit).count()
}

/// The chunks with up to 400 bytes more or less each.
fn scattered(entropy: &Entropy, lens: &[(u64, u32)]) -> Lens {
    lens.iter().map(|(number, len)| (*number, len - 400 + random(entropy, 800) as u32)).collect()
}

#[test]
fn chunks_that_changed_a_little_each_are_followed_to_the_end() {
    let entropy = Entropy::fixed(b"scattered");
    let lens = older(&entropy, 3000);
    // They drift apart by far more than a chunk.
    let newer: Lens = lens.iter().map(|(number, len)| (*number, len + 300)).collect();
    assert_eq!(hits(&lens, &newer, 1), 3000);
    assert_eq!(hits(&lens, &scattered(&entropy, &lens), 1), 3000);
}

#[test]
fn a_cut_that_is_gone_or_new_costs_the_chunks_beside_it() {
    let entropy = Entropy::fixed(b"cuts");
    let lens = older(&entropy, 1000);
    let mut newer = scattered(&entropy, &lens);
    for number in (10..newer.len() - 10).rev().step_by(50) {
        if number % 100 < 50 {
            newer[number].1 += newer.remove(number + 1).1;
        } else {
            let half = newer[number].1 / 2;
            newer[number].1 -= half;
            newer.insert(number + 1, (u64::MAX, half));
        }
    }
    let found = hits(&lens, &newer, 1);
    assert!(found > 950, "{found}");
}

#[test]
fn after_much_was_added_or_removed_the_place_is_found_again() {
    let entropy = Entropy::fixed(b"much");
    let lens = older(&entropy, 1500);
    let added: Lens = older(&entropy, 200).iter().map(|(_, len)| (u64::MAX, *len)).collect();
    let inserted = [scattered(&entropy, &lens[..500]), added, scattered(&entropy, &lens[500..])];
    let found = hits(&lens, &inserted.concat(), 1);
    assert!(found > 1480, "{found}");
    let removed = [scattered(&entropy, &lens[..500]), scattered(&entropy, &lens[700..])];
    let found = hits(&lens, &removed.concat(), 1);
    assert!(found > 1280, "{found}");
    // One chunk that did not change is enough.
    let mut newer = [&lens[..500], &lens[700..]].concat();
    for (number, chunk) in newer.iter_mut().enumerate().filter(|(number, _)| *number != 505) {
        chunk.1 += (number as u32 % 7) * 9000;
    }
    let (window, mut align) = (window(&lens), Align::default());
    for (number, len) in &newer[..=505] {
        let changed = u64::from(*number != 705);
        let range = align.next(&window, &id(*number, changed), *len);
        if *number == 705 {
            assert_eq!(range.start, window[705].start);
        }
    }
}

#[test]
fn pages_added_to_a_database_came_from_nothing() {
    let lens: Lens = (0..100).map(|number| (number, 65_536)).collect();
    let window = window(&lens);
    let end = window.back().unwrap().end();
    let mut align = Align::default();
    for number in 0..200 {
        let range = align.next(&window, &id(number, 1), 65_536);
        assert_eq!(range.start, number * 65_536);
        assert!(number < 100 || range.start >= end);
    }
}

#[test]
fn what_is_behind_the_end_came_from_nothing() {
    let lens = older(&Entropy::fixed(b"end"), 10);
    let window = window(&lens);
    let end = window.back().unwrap().end();
    let mut align = Align::default();
    for (number, len) in &lens {
        align.next(&window, &id(*number, 1), *len);
    }
    for _ in 0..10 {
        assert!(align.next(&window, &id(99, 1), 65_536).start >= end);
    }
    assert_eq!(Align::default().next(&VecDeque::<OldChunk<()>>::new(), &id(0, 0), 10), 0..10);
}

/// A table of rows in the order of their key, and where each row begins.
fn text(rows: &[String]) -> (Vec<u8>, Vec<u64>) {
    let mut at = 0;
    let starts = rows.iter().map(|row| {
        let start = at;
        at += row.len() as u64;
        start
    });
    let starts = starts.collect();
    (rows.concat().into_bytes(), starts)
}

fn cuts(cutter: &Cutter, bytes: &[u8]) -> Vec<u32> {
    let mut at = 0;
    let next = || {
        let len = cutter.cut(&bytes[at..], true)?;
        at += len;
        Some(len as u32)
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn a_long_table_with_changes_anywhere_is_followed_to_its_end() {
    let entropy = Entropy::fixed(b"table");
    let row = |number: usize| {
        let more = " and more".repeat(random(&entropy, 4) as usize);
        format!("{number}\t{:016x}\twords of the row{more}\n", random(&entropy, u64::MAX))
    };
    let mut rows: Vec<String> = (0..400_000).map(row).collect();
    let mut gear = [0; 256];
    gear.iter_mut().for_each(|it| *it = random(&entropy, u64::MAX));
    let cutter = Cutter::new(&gear, &standard_profiles()[0]).unwrap();
    let (bytes, starts) = text(&rows);
    let lens: Lens = (0..).zip(cuts(&cutter, &bytes)).collect();
    for _ in 0..2000 {
        let number = random(&entropy, 400_000) as usize;
        rows[number] = row(number);
    }
    let (bytes, newer_starts) = text(&rows);
    let newer = cuts(&cutter, &bytes);
    let (window, mut align, mut at, mut hits) = (window(&lens), Align::default(), 0, 0);
    for len in &newer {
        let range = align.next(&window, &id(u64::MAX, 1), *len);
        let number = newer_starts.partition_point(|start| *start < at).min(399_999);
        if range.start.abs_diff(starts[number]) <= 2 * 4096 {
            hits += 1;
        }
        at += u64::from(*len);
    }
    assert!(hits * 100 >= newer.len() * 98, "{hits} of {}", newer.len());
}
