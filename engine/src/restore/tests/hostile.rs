use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::memory::*;
use crate::error::Kind;
use crate::model::*;
use crate::restore::*;
use crate::target::{Policy, Target};

/// A directory to attack from and one that must stay as it is.
fn arena() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let arena = scratch();
    let (target, outside) = (arena.path().join("target"), arena.path().join("outside"));
    fs::create_dir(&target).unwrap();
    fs::create_dir(&outside).unwrap();
    (arena, target, outside)
}

#[test]
fn a_symbolic_link_at_any_parent_is_replaced_and_never_followed() {
    let parents = ["a", "a/b", "a/b/c"];
    for planted in parents {
        for overwrite in [Overwrite::Always, Overwrite::IfChanged, Overwrite::Never] {
            let (_arena, target, outside) = arena();
            fs::create_dir_all(outside.join("b/c")).unwrap();
            let link = target.join(planted);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(&outside, &link).unwrap();
            let mut memory = Memory::new();
            memory.file("a/b/c/file", b"content");
            memory.symlink("a/b/c/link", "x");
            let options =
                RestoreOptions { target: target.clone(), overwrite, ..RestoreOptions::default() };
            let summary = memory.restore(&options).unwrap();
            assert_eq!(listing(&outside), ["b", "b/c"]);
            if overwrite == Overwrite::Never {
                assert_eq!(summary.problem_count, 1);
                assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            } else {
                assert_eq!(summary.problem_count, 0, "{:?}", summary.problems);
                assert_eq!(fs::read(target.join("a/b/c/file")).unwrap(), b"content");
                assert!(fs::symlink_metadata(&link).unwrap().is_dir());
            }
        }
    }
}

#[test]
fn a_manifest_that_puts_entries_below_a_symbolic_link_or_file_stays_inside() {
    let (_arena, target, outside) = arena();
    let mut memory = Memory::new();
    memory.file("link/file", b"content");
    memory.file("file/file", b"content");
    memory.entries.insert(
        path("link"),
        entry("link", EntryKind::Symlink { target: outside.to_str().unwrap().into() }),
    );
    let chunk = memory.chunk(b"plain");
    let content = Content::Chunks(vec![chunk]);
    memory.entries.insert(
        path("file"),
        entry("file", EntryKind::File { size: 5, content, holes: Vec::new() }),
    );
    for _ in 0..2 {
        let summary = memory.restore_to(&target);
        assert!(summary.problem_count > 0);
        assert_eq!(listing(&outside), Vec::<String>::new());
        assert!(listing(&target).iter().all(|path| !path.contains(".coffer-")));
    }
}

#[test]
fn planted_links_at_final_names_are_replaced_and_what_they_lead_to_is_untouched() {
    for overwrite in [Overwrite::Always, Overwrite::IfChanged] {
        let (_arena, target, outside) = arena();
        let precious = outside.join("precious");
        fs::write(&precious, "12345").unwrap();
        let times = fs::FileTimes::new().set_modified(
            std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789),
        );
        fs::File::options().write(true).open(&precious).unwrap().set_times(times).unwrap();
        let before = fs::metadata(&precious).unwrap();
        symlink(&precious, target.join("soft")).unwrap();
        fs::hard_link(&precious, target.join("hard")).unwrap();
        symlink(&precious, target.join("soft-link")).unwrap();
        fs::hard_link(&precious, target.join("hard-fifo")).unwrap();
        let mut memory = Memory::new();
        for name in ["soft", "hard"] {
            // The same size and time: an IfChanged that trusted it would change the mode outside.
            memory.file(name, b"67890").mode = 0o777;
        }
        memory.symlink("soft-link", "elsewhere");
        memory.add(entry("hard-fifo", EntryKind::Fifo)).mode = 0o777;
        let options =
            RestoreOptions { target: target.clone(), overwrite, ..RestoreOptions::default() };
        assert_eq!(memory.restore(&options).unwrap().problem_count, 0);
        let after = fs::metadata(&precious).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"12345");
        assert_eq!(
            (after.mode(), after.mtime(), after.nlink()),
            (before.mode(), before.mtime(), 1)
        );
        assert_eq!(fs::read(target.join("soft")).unwrap(), b"67890");
        assert_eq!(fs::read(target.join("hard")).unwrap(), b"67890");
    }
}

#[test]
fn stale_temporaries_of_any_kind_are_swept_and_links_in_them_not_followed() {
    let (_arena, target, outside) = arena();
    fs::write(outside.join("precious"), "x").unwrap();
    let name = |digit: &str| format!(".coffer-{}", digit.repeat(16));
    fs::create_dir_all(target.join("a/b")).unwrap();
    fs::write(target.join("a").join(name("1")), "half").unwrap();
    symlink(outside.join("precious"), target.join("a").join(name("2"))).unwrap();
    symlink(&outside, target.join(name("3"))).unwrap();
    let tree = target.join("a").join(name("4"));
    fs::create_dir_all(tree.join("x/y/z")).unwrap();
    fs::write(tree.join("x/y/file"), "half").unwrap();
    symlink(&outside, tree.join("x/out")).unwrap();
    fs::create_dir(tree.join(".coffer-moved")).unwrap();
    rustix::fs::chmod(tree.join("x"), rustix::fs::Mode::from_raw_mode(0o500)).unwrap();
    fs::write(target.join("a/.coffer-notes"), "a file of the user").unwrap();
    let mut memory = Memory::new();
    memory.file("a/b/file", b"content");
    let summary = memory.restore_to(&target);
    assert_eq!(summary.problem_count, 0);
    assert_eq!(listing(&target), ["a", "a/.coffer-notes", "a/b", "a/b/file"]);
    assert_eq!(listing(&outside), ["precious"]);
}

#[test]
fn a_second_restore_into_the_same_directory_is_refused_while_the_first_runs() {
    let target = scratch();
    let held = Target::open(target.path(), Policy::default()).unwrap();
    assert_eq!(Target::open(target.path(), Policy::default()).unwrap_err().kind(), Kind::Conflict);
    drop(held);
    assert!(Target::open(target.path(), Policy::default()).is_ok());
}

/// Ends a thread that watches the flag, however the test ends.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_escapes_while_somebody_swaps_directories_for_links() {
    let (_arena, target, outside) = arena();
    let mut memory = Memory::new();
    for number in 0..400 {
        memory.file(&format!("a/b{}/c/f{number}", number % 20), &noise(number, 2000));
        memory.symlink(&format!("a/b{}/c/s{number}", number % 20), "x");
        memory.file(&format!("a/b{}/c/h{number}", number % 20), b"linked").link_group = 5;
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when a restore fails: the scope waits for its thread.
        let _ends = SetWhenDropped(&is_done);
        scope.spawn(|| {
            let mut round = 0;
            while !is_done.load(Ordering::Relaxed) {
                round += 1;
                for inner in ["a", "a/b1", "a/b2/c", "a/b3"] {
                    let (path, aside) = (target.join(inner), target.join(format!("aside{round}")));
                    if fs::rename(&path, &aside).is_ok() {
                        let _ = symlink(&outside, &path);
                        thread::yield_now();
                        let _ = fs::remove_file(&path);
                        let _ = fs::rename(&aside, &path);
                    }
                }
            }
        });
        for round in 0..30 {
            let overwrite = if round % 2 == 0 { Overwrite::Always } else { Overwrite::IfChanged };
            let options =
                RestoreOptions { target: target.clone(), overwrite, ..RestoreOptions::default() };
            memory.restore(&options).unwrap();
        }
    });
    assert_eq!(listing(&outside), Vec::<String>::new());
}
