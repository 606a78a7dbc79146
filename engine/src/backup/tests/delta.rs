use std::collections::HashSet;

use super::fence::backup_beside;
use crate::backup::{BackupOptions, BackupSummary, backup};
use crate::model::*;
use crate::observe::Silent;
use crate::repo::pack_name;
use crate::repo::testing::*;
use crate::store::Store;

/// Backs up a table in rounds; the contents.
fn rounds(fixture: &Fixture, count: usize, deltas: bool) -> (Vec<Vec<u8>>, Vec<BackupSummary>) {
    let mut table = Table::new(30_000);
    let mut contents = Vec::new();
    let mut summaries = Vec::new();
    for round in 0..count {
        contents.push(table.bytes());
        fixture.file("table", &table.bytes());
        let mut options = fixture.tree();
        options.deltas = deltas;
        let repo = fixture.open(&format!("round {round}"));
        summaries.push(backup(&repo, options, &Silent).unwrap());
        table.change();
    }
    (contents, summaries)
}

pub(super) fn read(fixture: &Fixture) -> Vec<Vec<u8>> {
    let snapshots = fixture.read_all().unwrap();
    snapshots.into_iter().map(|mut files| files.swap_remove(0).1).collect()
}

/// The table in the newest snapshot, whatever became of the older ones.
pub(super) fn newest_table(fixture: &Fixture) -> Vec<u8> {
    let repo = fixture.open("newest");
    let newest = repo.snapshots(true, &Silent).unwrap().pop().unwrap().1;
    let reader = repo.reader(&Silent).unwrap();
    let mut read = Vec::new();
    let entries = reader.entries(&[&newest.sources[0]], &[], &mut |_, entry| {
        if entry.path.name() == b"table" {
            reader.write_file(&entry, &mut read)?;
        }
        Ok(true)
    });
    entries.unwrap();
    read
}

/// A frame of any pack: the pack, its kind, its chunks and its bases.
pub(super) type FrameOf = (PackId, FrameKind, Vec<ChunkId>, Vec<Base>);

pub(super) fn frames(fixture: &Fixture) -> Vec<FrameOf> {
    let repo = fixture.open("frames");
    let mut frames = Vec::new();
    for name in fixture.names("index/") {
        let id = name.strip_prefix("index/").unwrap().parse().unwrap();
        for info in repo.load_segment(id).unwrap() {
            frames.extend(info.footer.views().map(|view| {
                let chunks = view.chunks.iter().map(|chunk| chunk.id).collect();
                (info.id, view.place.kind, chunks, view.bases.to_vec())
            }));
        }
    }
    frames
}

/// The bases of each frame that is a difference; and the chunks that have a full copy.
pub(super) fn deltas(fixture: &Fixture) -> (Vec<Vec<Base>>, HashSet<ChunkId>) {
    let (mut deltas, mut full) = (Vec::new(), HashSet::new());
    for (_, kind, chunks, bases) in frames(fixture) {
        match kind {
            FrameKind::Full => full.extend(chunks),
            FrameKind::Delta => deltas.push(bases),
        }
    }
    (deltas, full)
}

#[test]
fn twenty_rounds_cost_little_and_all_come_back() {
    let fixture = Fixture::new();
    let (contents, summaries) = rounds(&fixture, 20, true);
    assert!(read(&fixture) == contents);
    let plain = Fixture::new();
    let (_, plainly) = rounds(&plain, 20, false);
    assert!(deltas(&plain).0.is_empty());
    let stored = |of: &[BackupSummary]| -> u64 { of.iter().map(|it| it.totals.data_stored).sum() };
    let (with, without) = (stored(&summaries[1..]), stored(&plainly[1..]));
    assert!(with * 4 < without, "{with} and {without} without deltas");
    // Every base is a full chunk, never itself a difference.
    let (deltas, full) = deltas(&fixture);
    assert!(!deltas.is_empty());
    for base in deltas.iter().flatten() {
        assert!(full.contains(&base.id), "{}", base.id);
    }
}

#[test]
fn what_grows_for_long_is_stored_full_again() {
    let fixture = Fixture::new();
    let (contents, summaries) = rounds(&fixture, 40, true);
    assert!(read(&fixture) == contents);
    let stored: Vec<u64> = summaries.iter().map(|it| it.totals.data_stored).collect();
    let third = |range: std::ops::Range<usize>| stored[range].iter().sum::<u64>();
    assert!(third(21..40) < third(1..21) * 3 / 2, "{stored:?}");
}

#[test]
fn a_lost_base_is_damage_and_the_next_backup_stores_anew_what_needs_it() {
    let fixture = Fixture::new();
    fixture.file("other", b"needs no base");
    let (_, _) = rounds(&fixture, 1, true);
    let first: HashSet<PackId> = fixture.packs(Purpose::Data).into_iter().collect();
    let mut table = Table::new(30_000);
    table.change();
    fixture.file("table", &table.bytes());
    fixture.backup("second");
    assert!(!deltas(&fixture).0.is_empty());
    for pack in &first {
        fixture.memory.delete(&pack_name(*pack)).unwrap();
    }
    let error = fixture.read_all().unwrap_err();
    assert!(error.kind().is_damage(), "{error}");

    // Nothing changed, but what the parent gives is looked up: its bases are gone.
    fixture.backup("third");
    assert!(newest_table(&fixture) == table.bytes());
    // The same ids are there full and as differences by now.
    let chunks_of = |is_wanted: &dyn Fn(&FrameOf) -> bool| -> HashSet<ChunkId> {
        frames(&fixture)
            .into_iter()
            .filter(is_wanted)
            .flat_map(|(_, _, chunks, _)| chunks)
            .collect()
    };
    let kept = chunks_of(&|(pack, kind, ..)| *kind == FrameKind::Full && !first.contains(pack));
    let deltas = chunks_of(&|(_, kind, ..)| *kind == FrameKind::Delta);
    assert!(!deltas.is_empty() && deltas.is_subset(&kept));
}

#[test]
fn a_flipped_bit_in_a_base_is_told_and_never_given_out() {
    let fixture = Fixture::new();
    let (contents, _) = rounds(&fixture, 2, true);
    let mut damaged = 0;
    for pack in fixture.packs(Purpose::Data) {
        let name = pack_name(pack);
        let bytes = fixture.memory.get(&name, u64::MAX).unwrap();
        for position in [100, bytes.len() / 3, bytes.len() / 2] {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            fixture.memory.delete(&name).unwrap();
            fixture.memory.create(&name, &flipped).unwrap();
            match fixture.read_all() {
                Err(error) => {
                    assert!(error.to_string().contains(&pack.to_string()), "{error}");
                    damaged += 1;
                }
                Ok(files) => assert!(files.iter().map(|it| &it[0].1).eq(&contents)),
            }
        }
        fixture.memory.delete(&name).unwrap();
        fixture.memory.create(&name, &bytes).unwrap();
    }
    assert!(damaged > 2, "{damaged}");
}

#[test]
fn hosts_store_differences_from_what_others_have_stored() {
    let fixture = Fixture::new();
    let mut table = Table::new(30_000);
    let mut contents = Vec::new();
    let mut backup_as = |host: &str, table: &Table| {
        fixture.file("table", &table.bytes());
        contents.push(table.bytes());
        let mut options = fixture.tree();
        options.host = host.to_owned();
        let repo = fixture.open(&format!("{host} {}", contents.len()));
        backup(&repo, options, &Silent).unwrap().totals.data_stored
    };
    let whole = backup_as("a", &table);
    table.change();
    // The other host has no parent: everything is full.
    assert!(backup_as("b", &table) > whole / 2);
    table.change();
    assert!(backup_as("a", &table) < whole / 4);
    assert!(backup_as("b", &table) < whole / 20);
    table.change();
    assert!(backup_as("b", &table) < whole / 4);
    assert!(read(&fixture) == contents);
    let (deltas, full) = deltas(&fixture);
    assert!(deltas.iter().flatten().all(|base| full.contains(&base.id)));
}

#[test]
fn a_prune_that_takes_bases_away_meanwhile_has_what_needs_them_stored_anew() {
    let fixture = Fixture::new();
    let mut table = Table::new(30_000);
    fixture.file("table", &table.bytes());
    fixture.backup("first");
    let condemned = fixture.packs(Purpose::Data);
    table.change();
    fixture.file("table", &table.bytes());
    backup_beside(&fixture, move |repo| {
        put_generation(repo, &condemned, Features::default());
        put_close(repo, &[], &condemned);
        for pack in &condemned {
            repo.store().delete(&pack_name(*pack)).unwrap();
        }
    });
    // The differences of the first attempt are there, and nothing needs them.
    assert!(!deltas(&fixture).0.is_empty());
    assert_eq!(fixture.names("snapshots/1/").len(), 1);
    assert!(fixture.read_all().unwrap() == [fixture.wanted()]);
}

#[test]
fn bases_that_are_damaged_unnoticed_cost_space_and_no_byte() {
    let fixture = Fixture::new();
    let mut table = Table::new(30_000);
    fixture.file("table", &table.bytes());
    fixture.backup("first");
    // Every frame, and no length: nothing tells before the bases are read.
    for pack in fixture.packs(Purpose::Data) {
        let name = pack_name(pack);
        let mut bytes = fixture.memory.get(&name, u64::MAX).unwrap();
        let end = bytes.len() - 4096;
        bytes[40..end].iter_mut().step_by(500).for_each(|byte| *byte ^= 1);
        fixture.memory.tamper(&name, bytes);
    }
    // A row of each chunk.
    for number in (0..30_000).step_by(100) {
        table.rows[number] = table.row(number);
    }
    fixture.file("table", &table.bytes());
    fixture.backup("second");
    assert!(deltas(&fixture).0.is_empty());
    assert!(newest_table(&fixture) == table.bytes());
}

/// A table in three states, of which the second stands both full and as differences: two hosts stored it at once.
/// The packs that have it as differences, and those that have it full with their index segments.
struct Twofold {
    fixture: Fixture,
    table: Table,
    differences: HashSet<PackId>,
    full: HashSet<PackId>,
    full_segments: Vec<String>,
}

impl Twofold {
    fn new() -> Self {
        let fixture = Fixture::new();
        let mut table = Table::new(30_000);
        let packs = || -> HashSet<PackId> { fixture.packs(Purpose::Data).into_iter().collect() };
        let segments = || -> HashSet<String> { fixture.names("index/").into_iter().collect() };
        let put = |name: &str, table: &Table, deltas: bool| {
            fixture.file("table", &table.bytes());
            let (host, repo) = (name.to_owned(), fixture.open(name));
            let host = if deltas { "host".to_owned() } else { host };
            backup(&repo, BackupOptions { host, deltas, ..fixture.tree() }, &Silent).unwrap();
        };
        put("first", &table, true);
        table.change();
        let (packs_before, segments_before) = (packs(), segments());
        put("second", &table, true);
        let differences = &packs() - &packs_before;
        // The other host has loaded its index before that.
        let hidden: Vec<(String, Vec<u8>)> = (&segments() - &segments_before)
            .into_iter()
            .map(|name| (name.clone(), fixture.memory.get(&name, u64::MAX).unwrap()))
            .collect();
        hidden.iter().for_each(|(name, _)| fixture.memory.delete(name).unwrap());
        let segments_before = segments();
        put("beside", &table, false);
        let full = &(&packs() - &packs_before) - &differences;
        let full_segments = (&segments() - &segments_before).into_iter().collect();
        hidden.iter().for_each(|(name, bytes)| fixture.memory.tamper(name, bytes.clone()));
        Self { fixture, table, differences, full, full_segments }
    }

    fn backup(&mut self, seed: &str) {
        self.table.change();
        self.fixture.file("table", &self.table.bytes());
        self.fixture.backup(seed);
    }

    /// The chunks of the packs in frames of this kind.
    fn chunks(&self, packs: &HashSet<PackId>, kind: FrameKind) -> HashSet<ChunkId> {
        let of = |frame: &FrameOf| packs.contains(&frame.0) && frame.1 == kind;
        frames(&self.fixture).into_iter().filter(of).flat_map(|frame| frame.2).collect()
    }

    fn lose_full(&self, with_index: bool) {
        self.full.iter().for_each(|pack| self.fixture.memory.delete(&pack_name(*pack)).unwrap());
        let segments = self.full_segments.iter().filter(|_| with_index);
        segments.for_each(|name| self.fixture.memory.delete(name).unwrap());
    }
}

#[test]
fn a_base_that_stands_full_and_as_a_difference_is_its_full_copy() {
    for with_index in [false, true] {
        let mut twofold = Twofold::new();
        let second = twofold.table.bytes();
        let twice = &twofold.chunks(&twofold.differences, FrameKind::Delta)
            & &twofold.chunks(&twofold.full, FrameKind::Full);
        assert!(twice.len() > 5, "{} chunks stand twice", twice.len());
        twofold.backup("third");
        let (bases, _) = deltas(&twofold.fixture);
        let relied = bases.iter().flatten().filter(|base| twice.contains(&base.id)).count();
        assert!(relied > 5, "{relied} bases stand twice");
        assert!(newest_table(&twofold.fixture) == twofold.table.bytes());

        // What named it as base is damaged; itself it is still there, as a difference from the first.
        twofold.lose_full(with_index);
        let repo = twofold.fixture.open("read");
        let reader = repo.reader(&Silent).unwrap();
        let read_all = |state: usize| {
            let snapshots = repo.snapshots(true, &Silent).unwrap();
            let (mut read, mut damage) = (Vec::new(), None);
            let source = &snapshots[state].1.sources[0];
            let entries = reader.entries(&[source], &[], &mut |_, entry| {
                if entry.path.name() == b"table" {
                    damage = reader.write_file(&entry, &mut read).err();
                }
                Ok(true)
            });
            entries.unwrap();
            (read, damage)
        };
        let (read, damage) = read_all(1);
        assert!(damage.is_none() && read == second, "{damage:?}");
        let (_, damage) = read_all(3);
        let damage = damage.expect("the full copy is gone");
        assert!(damage.kind().is_damage());
        let word = if with_index { "has no full copy" } else { "pack" };
        assert!(damage.to_string().contains(word), "{damage}");
    }
}

#[test]
fn a_chunk_known_only_as_a_difference_becomes_no_base() {
    let mut twofold = Twofold::new();
    twofold.backup("third");
    twofold.lose_full(true);
    let known: HashSet<PackId> = twofold.fixture.packs(Purpose::Data).into_iter().collect();
    twofold.backup("fourth");
    assert!(newest_table(&twofold.fixture) == twofold.table.bytes());
    let (_, full) = deltas(&twofold.fixture);
    let new = frames(&twofold.fixture).into_iter().filter(|frame| !known.contains(&frame.0));
    let bases: Vec<Base> = new.flat_map(|frame| frame.3).collect();
    assert!(bases.iter().all(|base| full.contains(&base.id)));
}
