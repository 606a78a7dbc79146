//! A killed restore is run again and goes on, and what was written whole is not fetched again.

use std::fs;
use std::path::Path;

use crate::harm::support::{Picture, Site, put_back};
use crate::support::make;

const FILE_COUNT: usize = 6;
const FILE_LEN: usize = 2 << 20;

fn whole_files(tree: &Path, target: &Path) -> usize {
    let is_whole = |number: &usize| {
        let name = number.to_string();
        fs::read(target.join(&name)).is_ok_and(|it| it == fs::read(tree.join(&name)).unwrap())
    };
    (0..FILE_COUNT).filter(is_whole).count()
}

#[test]
fn a_restore_killed_at_any_write_goes_on_without_fetching_what_is_whole() {
    let site = Site::new();
    let tree = site.path("tree");
    for number in 0..FILE_COUNT {
        make::file(&tree, number.to_string(), make::noise(number as u64, FILE_LEN));
    }
    let id = site.backup(&tree);
    let from = format!("{id}:{}", tree.display());
    let (mut some, mut all) = (0, 0);
    for crash_at in (1..2000).step_by(2) {
        let target = site.folder();
        let arguments = ["restore", &from, "--target", target.to_str().unwrap()];
        let killed = site.dying(crash_at, &arguments).code.is_none();
        let whole = whole_files(&tree, &target);
        let mode = ["always", "if-changed"][(crash_at / 2 % 2) as usize];
        let again = site.home(&[&arguments[..], &["--overwrite", mode]].concat()).expect(0);
        let summary = again.out.lines().last().unwrap();
        let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
        let fetched = summary["bytes_fetched"].as_u64().unwrap() as usize;
        // A frame of 4 MiB that a missing file begins and a whole one ends is fetched too.
        let bound = match FILE_COUNT - whole {
            0 => 0,
            missing => (missing * FILE_LEN + (9 << 20)).min(FILE_COUNT * FILE_LEN + (64 << 10)),
        };
        assert!(fetched <= bound, "crash point {crash_at}: {whole} whole, {fetched} fetched");
        assert_eq!(Picture::of(&target), Picture::of(&tree), "crash point {crash_at}");
        assert_no_temporaries(&target);
        fs::remove_dir_all(&target).unwrap();
        some += usize::from(whole > 0 && whole < FILE_COUNT);
        all += usize::from(killed && whole == FILE_COUNT);
        if !killed {
            break;
        }
    }
    assert!(some > 0 && all > 0, "{some} kills with some files, {all} with all");
}

#[test]
fn a_deletion_killed_at_any_point_is_finished_by_the_next_run() {
    let site = Site::new();
    let (tree, full) = (site.path("tree"), site.path("full"));
    make::file(&tree, "a/file", "x");
    for name in ["a/extra", "b/extra", "b/c/extra", "z"] {
        make::file(&full, name, "x");
    }
    let id = site.backup(&tree);
    let from = format!("{id}:{}", tree.display());
    for crash_at in 1..500 {
        let target = site.folder();
        put_back(&full, &target);
        let arguments =
            ["restore", &from, "--target", target.to_str().unwrap(), "--delete", "--yes"];
        let killed = site.dying(crash_at, &arguments).code.is_none();
        site.home(&arguments).expect(0);
        assert_eq!(Picture::of(&target), Picture::of(&tree), "crash point {crash_at}");
        fs::remove_dir_all(&target).unwrap();
        if !killed {
            assert!(crash_at > 20, "only {crash_at} points");
            return;
        }
    }
    panic!("a run has no end of crash points");
}

#[track_caller]
fn assert_no_temporaries(folder: &Path) {
    let left = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".coffer-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
