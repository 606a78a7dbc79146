use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::memory::*;
use crate::restore::*;

fn options(target: &Path) -> RestoreOptions {
    RestoreOptions { target: target.to_owned(), ..RestoreOptions::default() }
}

fn small() -> Memory {
    let mut memory = Memory::new();
    for path in [
        "home/u/a.txt",
        "home/u/b.log",
        "home/u/cache/c.txt",
        "home/u/sub/d.txt",
        "home/v/e.txt",
        "top",
    ] {
        memory.file(path, path.as_bytes());
    }
    memory
}

#[test]
fn a_folder_restores_its_contents_and_a_file_itself() {
    let memory = small();
    for (folder, wanted) in [
        ("home/u", &["a.txt", "b.log", "cache", "cache/c.txt", "sub", "sub/d.txt"][..]),
        ("home/u/a.txt", &["a.txt"]),
        ("top", &["top"]),
        ("home/v", &["e.txt"]),
    ] {
        let target = scratch();
        memory
            .restore(&RestoreOptions { folder: folder.into(), ..options(target.path()) })
            .unwrap();
        assert_eq!(listing(target.path()), wanted, "{folder}");
    }
}

#[test]
fn includes_and_excludes_choose_with_the_directories_above() {
    let memory = small();
    let list = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let check = |includes: &[&str], excludes: &[&str], wanted: &[&str]| {
        let target = scratch();
        let chosen = RestoreOptions {
            includes: list(includes),
            excludes: list(excludes),
            ..options(target.path())
        };
        let summary = memory.restore(&chosen).unwrap();
        let found = listing(target.path());
        let files: Vec<_> =
            found.iter().filter(|path| target.path().join(path).is_file()).collect();
        assert_eq!(files, wanted, "{includes:?} {excludes:?}");
        assert_eq!(summary.files, wanted.len() as u64);
        // A directory that nothing is wanted from is not made.
        let is_needed = |path: &String| files.iter().any(|file| file.starts_with(path.as_str()));
        assert!(found.iter().all(is_needed), "{found:?}");
    };
    check(&["sub"], &[], &["home/u/sub/d.txt"]);
    check(&["/home/u"], &["cache/", "*.log"], &["home/u/a.txt", "home/u/sub/d.txt"]);
    check(&["*.txt"], &["/home/u"], &["home/v/e.txt"]);
    check(&[], &["home"], &["top"]);
    check(&["nothing"], &[], &[]);
}

#[test]
fn directories_above_an_include_get_their_metadata_only_if_they_were_made() {
    let mut memory = small();
    memory.directory("home").mode = 0o711;
    memory.directory("home/u").mode = 0o711;
    let target = scratch();
    fs::create_dir(target.path().join("home")).unwrap();
    let before = fs::metadata(target.path().join("home")).unwrap().mode();
    let chosen = RestoreOptions { includes: vec!["a.txt".into()], ..options(target.path()) };
    memory.restore(&chosen).unwrap();
    assert_eq!(fs::metadata(target.path().join("home")).unwrap().mode(), before);
    assert_eq!(fs::metadata(target.path().join("home/u")).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn overwrite_modes_keep_what_they_say() {
    let mut memory = Memory::new();
    for name in ["same", "touched", "longer"] {
        memory.file(name, b"12345");
    }
    let check = |overwrite, wanted: [&str; 3], skipped| {
        let target = scratch();
        memory.restore_to(target.path());
        let time = fs::metadata(target.path().join("same")).unwrap().modified().unwrap();
        for (name, content) in [("same", "abcde"), ("touched", "abcde"), ("longer", "abcdef")] {
            fs::write(target.path().join(name), content).unwrap();
        }
        for name in ["same", "longer"] {
            fs::File::options()
                .write(true)
                .open(target.path().join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        fs::remove_file(target.path().join("longer")).unwrap();
        let summary =
            memory.restore(&RestoreOptions { overwrite, ..options(target.path()) }).unwrap();
        let read = |name: &str| fs::read_to_string(target.path().join(name)).unwrap();
        assert_eq!(["same", "touched", "longer"].map(read), wanted);
        assert_eq!(summary.skipped, skipped);
    };
    check(Overwrite::Always, ["12345"; 3], 0);
    check(Overwrite::IfChanged, ["abcde", "12345", "12345"], 1);
    check(Overwrite::Never, ["abcde", "abcde", "12345"], 2);
}

#[test]
fn if_changed_still_sets_the_metadata() {
    let mut memory = Memory::new();
    memory.file("f", b"12345").mode = 0o640;
    let target = scratch();
    memory.restore_to(target.path());
    let inode = fs::metadata(target.path().join("f")).unwrap().ino();
    memory.file("f", b"12345").mode = 0o755;
    memory
        .restore(&RestoreOptions { overwrite: Overwrite::IfChanged, ..options(target.path()) })
        .unwrap();
    let after = fs::metadata(target.path().join("f")).unwrap();
    assert_eq!((after.ino(), after.mode() & 0o7777), (inode, 0o755));
}

#[test]
fn a_directory_in_the_way_of_a_file_and_the_reverse_are_reported_and_the_rest_goes_on() {
    for overwrite in [Overwrite::Always, Overwrite::IfChanged] {
        let memory = small();
        let target = scratch();
        fs::create_dir_all(target.path().join("home/u/a.txt/inside")).unwrap();
        fs::write(target.path().join("home/v"), "a file").unwrap();
        let summary =
            memory.restore(&RestoreOptions { overwrite, ..options(target.path()) }).unwrap();
        let problems: Vec<_> = summary.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.contains("home/u/a.txt: ")
            && problem.contains("directory is in the way")));
        assert!(problems.iter().any(|problem| problem.contains("home/v: ")
            && problem.contains("not a directory is in the way")));
        assert_eq!((summary.files, summary.lost, summary.damaged_count), (4, 1, 0));
        assert!(listing(target.path()).iter().all(|path| !path.contains(".coffer-")));
    }
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let memory = small();
    let parent = scratch();
    let target = parent.path().join("target");
    let summary = memory
        .restore(&RestoreOptions {
            dry_run: true,
            excludes: vec!["*.log".into()],
            ..options(&target)
        })
        .unwrap();
    assert_eq!((summary.files, summary.directories, summary.excluded), (5, 5, 1));
    assert!(!target.exists());
}

#[test]
fn a_file_in_a_missing_directory_of_the_manifest_is_still_restored() {
    let mut memory = small();
    memory.entries.remove(&path("home/u"));
    memory.entries.remove(&path("home"));
    let target = scratch();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.problem_count), (6, 0));
    assert_eq!(fs::read(target.path().join("home/u/sub/d.txt")).unwrap(), b"home/u/sub/d.txt");
}

#[test]
fn nothing_is_deleted_that_may_be_absent_from_the_snapshot_by_mistake() {
    let check = |mut memory: Memory, harm: fn(&mut Memory), is_deleted: bool| {
        let target = scratch();
        memory.restore_to(target.path());
        fs::write(target.path().join("home/u/extra"), "x").unwrap();
        fs::write(target.path().join("top"), "changed").unwrap();
        harm(&mut memory);
        let chosen = RestoreOptions { delete: true, ..options(target.path()) };
        let outcome = memory.restore(&chosen);
        assert_eq!(target.path().join("home/u/extra").exists(), !is_deleted, "{outcome:?}");
        assert!(target.path().join("home/u/sub/d.txt").exists(), "{outcome:?}");
        outcome
    };
    assert_eq!(check(small(), |_| {}, true).unwrap().removed, 1);
    let refused = check(small(), |memory| memory.is_partial = true, false);
    assert_eq!(refused.unwrap_err().kind(), crate::error::Kind::Refused);
    let damage = |memory: &mut Memory| {
        memory.damaged.insert(0);
    };
    assert_eq!(check(small(), damage, false).unwrap().damaged_count, 1);
    // A directory without an entry of its own is not extra.
    let implied = |memory: &mut Memory| {
        memory.entries.remove(&path("home/u"));
        memory.entries.remove(&path("home"));
    };
    assert_eq!(check(small(), implied, false).unwrap().removed, 0);
}
