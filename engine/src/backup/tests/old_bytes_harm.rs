use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use super::delta::newest_table;
use super::old_bytes::{Far, digits};
use crate::backup::BackupOptions;
use crate::model::*;
use crate::repo::testing::*;
use crate::repo::{OldBytes, pack_name};
use crate::store::Store;

/// What a prune beside the cache may have done.
fn check_stale(make: impl FnOnce(&Far, &[PackId])) {
    let far = Far::new();
    let mut table = Table::new(30_000);
    let first = far.backup("first", &table);
    let packs = far.fixture.packs(Purpose::Data);
    make(&far, &packs);
    table.change();
    let second = far.backup("second", &table);
    assert_eq!(far.delta_count(), 0, "nothing that is cached has a full copy");
    assert!(second.totals.data_stored > first.totals.data_stored / 2);
    for pack in packs {
        far.fixture.memory.delete(&pack_name(pack)).unwrap();
    }
    assert!(newest_table(&far.fixture) == table.bytes());
    // What took its place is as good.
    table.change();
    let third = far.backup("third", &table);
    assert!(third.totals.data_stored < first.totals.data_stored / 4);
    assert!(newest_table(&far.fixture) == table.bytes());
    far.assert_bases_are_there();
}

#[test]
fn a_stale_cache_gives_no_base_whose_pack_is_gone() {
    check_stale(|far, packs| {
        packs.iter().for_each(|pack| far.fixture.memory.delete(&pack_name(*pack)).unwrap());
    });
}

#[test]
fn a_stale_cache_gives_no_base_whose_pack_is_condemned() {
    check_stale(|far, packs| {
        put_generation(&far.fixture.open("prune"), packs, Features::default());
    });
}

#[test]
fn a_stale_cache_gives_no_base_whose_pack_is_recorded_as_bad() {
    check_stale(|far, packs| {
        let repo = far.fixture.open("verify");
        packs.iter().for_each(|pack| assert!(repo.record_bad_pack(*pack, "damaged").is_ok()));
    });
}

#[test]
fn a_stale_cache_gives_no_base_that_no_index_names() {
    check_stale(|far, _| {
        for name in far.fixture.names("index/") {
            far.fixture.memory.delete(&name).unwrap();
        }
    });
}

/// Harms every cached file, and expects a backup that is as good as any.
fn check_harm(what: &str, harm: impl Fn(&[PathBuf])) {
    let far = Far::new();
    let old_bytes = OldBytes { cached_bytes_max: 256 << 20, ..OldBytes::default() };
    let options = || BackupOptions { old_bytes, ..far.fixture.tree() };
    let mut table = Table::new(30_000);
    far.fixture.file("digits", &digits(1, 3 << 20));
    far.backup_with("first", &table, options());
    let files = far.files();
    assert!(files.len() >= 2, "{what}: {} files", files.len());
    harm(&files);
    table.change();
    far.backup_with("second", &table, options());
    assert_eq!(far.delta_count(), 0, "{what}");
    assert!(newest_table(&far.fixture) == table.bytes(), "{what}");
    table.change();
    far.backup_with("third", &table, options());
    assert!(far.delta_count() > 0, "{what}");
    assert!(newest_table(&far.fixture) == table.bytes(), "{what}");
    assert_eq!(far.data_read(), HashSet::new(), "{what}");
}

fn rewrite(files: &[PathBuf], change: impl Fn(&mut Vec<u8>)) {
    for file in files {
        let mut bytes = fs::read(file).unwrap();
        change(&mut bytes);
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn damaged_entries_of_the_cache_cost_room_and_no_byte() {
    check_harm("frames", |files| {
        rewrite(files, |bytes| {
            let end = bytes.len() - 4096;
            bytes[64..end].iter_mut().step_by(500).for_each(|byte| *byte ^= 1);
        });
    });
    check_harm("footers", |files| {
        rewrite(files, |bytes| *bytes.iter_mut().nth_back(50).unwrap() ^= 1)
    });
    check_harm("headers", |files| rewrite(files, |bytes| bytes[20] ^= 1));
    check_harm("truncated", |files| rewrite(files, |bytes| bytes.truncate(bytes.len() / 2)));
    check_harm("cut at the end", |files| rewrite(files, |bytes| bytes.truncate(bytes.len() - 1)));
    check_harm("empty", |files| rewrite(files, Vec::clear));
    check_harm("zeros", |files| rewrite(files, |bytes| bytes.fill(0)));
    check_harm("longer", |files| rewrite(files, |bytes| bytes.extend([0; 100])));
    check_harm("gone", |files| files.iter().for_each(|file| fs::remove_file(file).unwrap()));
}

#[test]
fn entries_of_another_repository_are_not_taken() {
    let other = Far::of(Fixture::with_keys("other"));
    other.backup("other", &Table::new(30_000));
    let others = other.files();
    check_harm("another repository's", |files| {
        for (file, other) in files.iter().zip(others.iter().cycle()) {
            fs::remove_file(file).unwrap();
            fs::copy(other, file.with_file_name(other.file_name().unwrap())).unwrap();
        }
    });
}

#[test]
fn entries_under_each_others_names_are_as_good_or_as_bad() {
    let far = Far::new();
    let old_bytes = OldBytes { cached_bytes_max: 256 << 20, ..OldBytes::default() };
    let options = || BackupOptions { old_bytes, ..far.fixture.tree() };
    let mut table = Table::new(30_000);
    far.fixture.file("digits", &digits(1, 3 << 20));
    far.backup_with("first", &table, options());
    let files = far.files();
    fs::rename(&files[0], files[0].with_extension("x")).unwrap();
    fs::rename(&files[1], &files[0]).unwrap();
    fs::rename(files[0].with_extension("x"), &files[1]).unwrap();
    table.change();
    far.backup_with("second", &table, options());
    assert!(newest_table(&far.fixture) == table.bytes());
    far.assert_bases_are_there();
    assert_eq!(far.data_read(), HashSet::new());
}
