//! One contract for every store, and what only some can show.

use std::path::Path;
use std::sync::Arc;

use super::*;

fn names(store: &dyn Store, prefix: &str) -> Vec<(String, u64)> {
    let mut names = Vec::new();
    store
        .list(prefix, &mut |name, len| {
            names.push((name.to_owned(), len));
            Ok(())
        })
        .unwrap();
    names
}

fn staged(store: &dyn Store, bytes: &[u8]) -> Staged {
    let mut staged = store.stage().unwrap();
    bytes.chunks(3).for_each(|part| staged.append(part).unwrap());
    assert_eq!(staged.len(), bytes.len() as u64);
    staged
}

/// What every store promises.
fn check_contract(store: &dyn Store) {
    assert!(names(store, "").is_empty() && names(store, "packs/").is_empty());
    assert_eq!(store.get("config", 10).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.get_range("packs/ab/c", 0, 1).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.len("packs/ab/c").unwrap(), None);
    store.delete("packs/ab/c").unwrap();

    assert_eq!(store.create("config", b"one").unwrap(), Creation::Created);
    assert_eq!(store.create("config", b"other").unwrap(), Creation::Exists);
    assert_eq!(store.get("config", 3).unwrap(), b"one");
    assert_eq!(store.get("config", 2).unwrap_err().kind(), Kind::Corrupt);

    let pack = staged(store, b"0123456789");
    assert_eq!(store.publish(pack, "packs/ab/c").unwrap(), Creation::Created);
    let again = staged(store, b"x");
    assert_eq!(store.publish(again, "packs/ab/c").unwrap(), Creation::Exists);
    drop(staged(store, b"never published"));
    assert_eq!(store.len("packs/ab/c").unwrap(), Some(10));
    assert_eq!(store.get_range("packs/ab/c", 2, 8).unwrap(), b"23456789");
    assert_eq!(store.get_range("packs/ab/c", 10, 0).unwrap(), b"");
    for (offset, len) in [(3, 8), (11, 0), (u64::MAX, 1)] {
        let error = store.get_range("packs/ab/c", offset, len).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
    }

    store.create("packs/0f/d", b"").unwrap();
    store.create("gen/1.close", b"abc").unwrap();
    let packs = [("packs/0f/d".to_owned(), 0), ("packs/ab/c".to_owned(), 10)];
    assert_eq!(names(store, "packs/"), packs);
    assert_eq!(names(store, "packs/ab/"), packs[1..]);
    assert_eq!(names(store, "").len(), 4);
    let refused = store.list("packs/", &mut |_, _| Err(Error::new(Kind::Interrupted, "stop")));
    assert_eq!(refused.unwrap_err().kind(), Kind::Interrupted);

    store.delete("packs/ab/c").unwrap();
    assert_eq!(names(store, "packs/"), packs[..1]);
    check_names(store);
    check_race(store);
}

fn check_names(store: &dyn Store) {
    let long = "a".repeat(201);
    for name in [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.b", "A", "a b", "a\0", "ä",
        "tmp/a", "tmp", &long,
    ] {
        assert_eq!(store.create(name, b"x").unwrap_err().kind(), Kind::Input, "{name:?}");
        assert_eq!(store.get(name, 1).unwrap_err().kind(), Kind::Input, "{name:?}");
        assert_eq!(store.len(name).unwrap_err().kind(), Kind::Input, "{name:?}");
        assert_eq!(store.delete(name).unwrap_err().kind(), Kind::Input, "{name:?}");
    }
    for prefix in ["packs", "../", "/", "tmp/"] {
        assert!(store.list(prefix, &mut |_, _| Ok(())).is_err(), "{prefix:?}");
    }
}

/// Of many that create one name at once, one wins, and its bytes are the ones kept.
fn check_race(store: &dyn Store) {
    let winners: Vec<u8> = std::thread::scope(|scope| {
        let create = |number: u8| move || (number, store.create("gen/7", &[number; 5000]).unwrap());
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(create(number))).collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.filter(|(_, creation)| *creation == Creation::Created).map(|won| won.0).collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get("gen/7", 5000).unwrap(), [winners[0]; 5000]);
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn every_store_keeps_the_contract() {
    check_contract(&MemoryStore::new());
    let folder = tempfile::tempdir().unwrap();
    check_contract(&LocalStore::create(folder.path().join("a/b")).unwrap());
    check_contract(&FaultStore::new(Arc::new(MemoryStore::new())));
}

#[test]
fn a_local_store_shows_an_object_only_when_it_is_whole_and_leaves_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let pack = staged(&store, b"half of it");
    assert!(names(&store, "").is_empty());
    assert_eq!(files_in(&folder.path().join("tmp")), 1);
    store.publish(pack, "packs/aa/x").unwrap();
    drop(staged(&store, b"given up"));
    let again = staged(&store, b"taken");
    store.publish(again, "packs/aa/x").unwrap();
    assert_eq!(files_in(&folder.path().join("tmp")), 0);
}

#[test]
fn a_local_store_is_private_and_its_objects_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::create(folder.path().join("store")).unwrap();
    store.create("packs/aa/x", b"x").unwrap();
    let mode = |path: &str| {
        std::fs::metadata(folder.path().join("store").join(path)).unwrap().permissions().mode()
            & 0o7777
    };
    assert_eq!([mode(""), mode("packs"), mode("packs/aa"), mode("tmp")], [0o700; 4]);
    assert_eq!(mode("packs/aa/x"), 0o400);
}

#[test]
fn a_missing_or_vanished_directory_is_never_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let error = LocalStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

    let store = LocalStore::create(&path).unwrap();
    store.create("config", b"x").unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(store.get("config", 9).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(store.len("config").unwrap_err().kind(), Kind::Unavailable);
    assert!(store.list("packs/", &mut |_, _| Ok(())).is_err());
    assert!(store.create("gen/1", b"x").is_err());
    assert!(LocalStore::open("/dev/null").is_err());
}

#[test]
fn links_and_devices_are_no_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("config")).unwrap();
    std::fs::create_dir_all(folder.path().join("packs/aa")).unwrap();
    assert!(store.get("config", 1 << 20).is_err());
    assert_eq!(store.get("packs/aa", 1 << 20).unwrap_err().kind(), Kind::Corrupt);
    assert!(names(&store, "").is_empty());
}

#[test]
fn only_old_litter_without_a_writer_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 24 * 3600);
    for name in ["old", "held", "new"] {
        let file = std::fs::File::create(tmp.join(name)).unwrap();
        if name != "new" {
            file.set_modified(old).unwrap();
        }
    }
    let held = std::fs::File::open(tmp.join("held")).unwrap();
    held.lock().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    store.create("config", b"x").unwrap();
    assert!(!tmp.join("old").exists() && tmp.join("held").exists() && tmp.join("new").exists());
}

#[test]
fn a_full_store_says_so_and_keeps_nothing_unfinished() {
    let memory = Arc::new(MemoryStore::new());
    let store = FaultStore::new(Arc::clone(&memory) as Arc<dyn Store>);
    store.fill_after(10);
    assert_eq!(store.create("config", b"eight...").unwrap(), Creation::Created);
    let mut pack = store.stage().unwrap();
    pack.append(b"12").unwrap();
    assert_eq!(pack.append(b"3").unwrap_err().kind(), Kind::NoSpace);
    drop(pack);
    assert_eq!(store.create("gen/1", b"x").unwrap_err().kind(), Kind::NoSpace);
    assert_eq!(names(&*memory, "").len(), 1);
}

#[test]
fn a_lost_reply_leaves_the_object_and_an_early_fault_does_not() {
    let store = FaultStore::new(Arc::new(MemoryStore::new()));
    store.fail(Some(Operation::Create), 1, When::Before);
    store.fail(Some(Operation::Create), 3, When::After);
    assert_eq!(store.create("gen/1", b"x").unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(store.len("gen/1").unwrap(), None);
    assert_eq!(store.create("gen/1", b"x").unwrap(), Creation::Created);
    assert!(store.create("gen/2", b"y").is_err());
    assert_eq!(store.create("gen/2", b"y").unwrap(), Creation::Exists);
    assert_eq!(store.get("gen/2", 9).unwrap(), b"y");
    assert_eq!((store.calls(Operation::Create), store.calls_total()), (4, 6));
}

/// Runs itself as a child that is killed at the n-th crash point, for every n.
#[cfg(feature = "crash-points")]
#[test]
fn a_kill_at_any_point_leaves_whole_objects_or_none() {
    const FOLDER: &str = "COFFER_TEST_CRASH_FOLDER";
    if let Ok(folder) = std::env::var(FOLDER) {
        let store = LocalStore::create(folder).unwrap();
        store.create("config", b"first").unwrap();
        let pack = staged(&store, b"0123456789");
        store.publish(pack, "packs/aa/x").unwrap();
        store.delete("config").unwrap();
        return;
    }
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::a_kill_at_any_point_leaves_whole_objects_or_none"])
            .env(FOLDER, folder.path())
            .env("COFFER_TEST_CRASH_AT", at.to_string())
            .output()
            .unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        for (name, bytes) in [("config", &b"first"[..]), ("packs/aa/x", b"0123456789")] {
            if store.len(name).unwrap().is_some() {
                assert_eq!(store.get(name, 10).unwrap(), bytes, "crash point {at}");
            }
        }
        // The next run works, whatever was left behind.
        store.create("gen/1", b"next").unwrap();
        if child.status.success() {
            assert!(at > 20, "only {at} crash points");
            return;
        }
    }
}
