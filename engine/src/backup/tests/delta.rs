use std::collections::HashSet;

use super::fence::backup_beside;
use crate::backup::{BackupSummary, backup};
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
