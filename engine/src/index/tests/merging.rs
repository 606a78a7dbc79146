//! Merging beside a command.

use super::*;

/// Opens an index to which every merge is a long one.
fn open_with_long_merges(plain: &Plain, cache: &Cache) -> Index {
    let index = Index { merged_now_max: 0, ..Index::empty(Some(cache.folder())) };
    plain.open_from(index, Some(cache))
}

#[test]
fn what_takes_long_to_merge_is_merged_beside_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir);
    let mut plain = Plain::default();
    let open = |plain: &Plain| open_with_long_merges(plain, &cache);
    for number in 0..=load::RUN_COUNT_MAX as u32 {
        plain.add(&[own_pack(number, 5 + number * 7 % 50)]);
        let index = open(&plain);
        plain.check(&index);
    }
    // It was stopped at once; the runs are still there, and nothing is loaded again.
    assert_eq!(run_files(&dir).len(), load::RUN_COUNT_MAX + 1);
    plain.loads();
    let mut index = open(&plain);
    let merging = index.merging.take().unwrap();
    assert!(merging.run_count() > 1);
    merging.finish();
    assert!(run_files(&dir).len() <= load::RUN_COUNT_MAX);
    // What it merged is in use here under no name.
    plain.check(&index);
    let next = open(&plain);
    assert!(next.merging.is_none() && next.runs.len() <= load::RUN_COUNT_MAX);
    plain.check(&next);
    assert_eq!(plain.loads(), 0);
    // A run that nobody could merge in time is merged at once in the end.
    for number in 100..130 {
        plain.add(&[own_pack(number, 5 + number * 7 % 50)]);
        plain.check(&open(&plain));
        assert!(run_files(&dir).len() <= 2 * load::RUN_COUNT_MAX);
    }
    plain.check(&open(&plain));
}

#[test]
fn a_merge_that_ends_before_the_old_runs_are_removed_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir);
    let mut plain = Plain::default();
    let open = |plain: &Plain| open_with_long_merges(plain, &cache);
    for number in 0..=load::RUN_COUNT_MAX as u32 {
        plain.add(&[own_pack(number, 5 + number * 7 % 50)]);
        open(&plain);
    }
    let saved = tempfile::tempdir().unwrap();
    let old = run_files(&dir);
    for file in &old {
        std::fs::copy(file, saved.path().join(file.file_name().unwrap())).unwrap();
    }
    open(&plain).merging.take().unwrap().finish();
    let merged = run_files(&dir).len();
    // As if the process had died between the two steps; and, at another time, with a half draft.
    for file in &old {
        std::fs::copy(saved.path().join(file.file_name().unwrap()), file).unwrap();
    }
    std::fs::write(cache.folder().join(".tmpHalf"), b"half").unwrap();
    plain.loads();
    plain.check(&open(&plain));
    assert_eq!((plain.loads(), run_files(&dir).len()), (0, merged));
}
