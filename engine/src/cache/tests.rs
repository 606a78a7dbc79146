use std::io::Write;
use std::time::Duration;

use super::*;

fn open(dir: &Path) -> Cache {
    Cache::open(dir, RepositoryId([7; 16])).unwrap()
}

#[test]
fn cached_files_come_back_until_they_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("a/b"));
    assert_eq!(cache.get(Shelf::Objects, "x", 9), None);
    cache.put(Shelf::Objects, "x", b"one");
    cache.put(Shelf::Objects, "x", b"two");
    assert_eq!(cache.get(Shelf::Objects, "x", 3).unwrap(), b"two");
    assert_eq!(cache.get(Shelf::Objects, "x", 2), None);
    assert_eq!(cache.len(Shelf::Objects, "x"), Some(3));
    assert_eq!(cache.get_range(Shelf::Objects, "x", 1, 2).unwrap(), b"wo");
    assert_eq!(cache.get_range(Shelf::Objects, "x", 2, 2), None);
    assert_eq!(cache.get_range(Shelf::Objects, "x", u64::MAX, 2), None);
    assert_eq!(cache.get(Shelf::Index, "x", 9), None);
    assert_eq!(&*cache.map(Shelf::Objects, "x").unwrap(), b"two");
    cache.put(Shelf::Objects, "empty", b"");
    assert!(cache.map(Shelf::Objects, "empty").unwrap().is_empty());
    assert_eq!(cache.names(Shelf::Objects), ["empty", "x"]);
    cache.remove(Shelf::Objects, "x");
    assert_eq!(cache.names(Shelf::Objects), ["empty"]);
    assert!(dir.path().join("a/b/CACHEDIR.TAG").exists());
    let other = Cache::open(&dir.path().join("a/b"), RepositoryId([8; 16])).unwrap();
    assert!(other.names(Shelf::Objects).is_empty());
    assert!(cache.take_notes().is_empty());
}

#[test]
fn what_is_unused_for_longest_is_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    for (age, name) in ["old", "older", "oldest"].iter().enumerate() {
        cache.put(Shelf::Objects, name, &[0; 100]);
        let file = cache.open_file(Shelf::Objects, name).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(1000 * age as u64)).unwrap();
    }
    assert!(cache.get(Shelf::Objects, "oldest", 100).is_some(), "which makes it the newest");
    cache.trim(Shelf::Objects, 250, usize::MAX);
    assert_eq!(cache.names(Shelf::Objects), ["old", "oldest"]);
    cache.trim(Shelf::Objects, 250, 1);
    assert_eq!(cache.names(Shelf::Objects), ["oldest"]);
    cache.trim(Shelf::Objects, 0, usize::MAX);
    assert!(cache.names(Shelf::Objects).is_empty());
}

#[test]
fn of_too_many_files_the_smallest_of_the_older_ones_goes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    let hour = Duration::from_secs(3600);
    for (hours, (name, len)) in [("a", 10), ("b", 30), ("c", 20), ("d", 40)].iter().enumerate() {
        cache.put(Shelf::Objects, name, &vec![0; *len]);
        cache.put_behind(Shelf::Objects, name, hour * hours as u32);
    }
    cache.trim(Shelf::Objects, u64::MAX, 3);
    assert_eq!(cache.names(Shelf::Objects), ["a", "b", "d"]);
    cache.trim(Shelf::Objects, 50, 1);
    assert_eq!(
        cache.names(Shelf::Objects),
        ["a"],
        "the oldest for its bytes, then the smaller one of two"
    );
}

#[test]
fn a_draft_is_swept_when_nobody_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    let drafts = || {
        let entries = fs::read_dir(cache.folder()).unwrap().flatten();
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".tmp")).count()
    };
    let draft = cache.draft().unwrap();
    let left = cache.folder().join(".tmpKILLED");
    fs::write(&left, b"half").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for entry in fs::read_dir(cache.folder()).unwrap().flatten() {
        File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
    }
    open(dir.path());
    assert!(!left.exists());
    assert_eq!(drafts(), 1);
    drop(draft);
    assert_eq!(drafts(), 0);
}

#[test]
fn a_cache_that_cannot_be_written_is_a_note_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    fs::remove_dir_all(dir.path()).unwrap();
    cache.put(Shelf::Objects, "x", b"one");
    assert_eq!(cache.get(Shelf::Objects, "x", 9), None);
    cache.trim(Shelf::Objects, 0, usize::MAX);
    assert_eq!(cache.take_notes().len(), 1);
    assert!(Cache::open(Path::new("/dev/null/x"), RepositoryId([7; 16])).is_err());
}

#[test]
fn odd_names_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    for name in ["", "..", "../x", "a/b", ".hidden", "a\0"] {
        cache.put(Shelf::Index, name, b"x");
        assert_eq!(cache.get(Shelf::Index, name, 9), None, "{name:?}");
    }
    assert!(cache.names(Shelf::Index).is_empty());
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    let mut draft = cache.draft().unwrap();
    draft.write_all(b"draft").unwrap();
    let map = draft.map().unwrap();
    drop(draft);
    assert_eq!(&*map, b"draft");
    let mut unnamed = Draft::unnamed(Some(cache.folder())).unwrap();
    unnamed.write_all(b"x").unwrap();
    assert_eq!(&*unnamed.map().unwrap(), b"x");
    cache.keep(unnamed, Shelf::Index, "x");
    assert_eq!(cache.take_notes().len(), 1);
    let files = fs::read_dir(dir.path().join(RepositoryId([7; 16]).to_string())).unwrap();
    assert_eq!(files.count(), 3);
}
