//! The walk over real trees in a temporary directory.

mod excludes;
mod found;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkdirat, openat};

use super::*;
use crate::limits;
use crate::model::compare_paths;

/// A tree to walk, removed at the end.
struct Tree {
    folder: tempfile::TempDir,
    /// The folder's path without symbolic links.
    path: PathBuf,
}

impl Tree {
    /// Makes files (with their own path as content), and directories where a path ends in `/`.
    fn new(paths: &[&str]) -> Self {
        let tree = Self::of(tempfile::tempdir().unwrap());
        for path in paths {
            tree.add(path.as_bytes());
        }
        tree
    }

    /// An empty tree for many files: in memory if that can be, because making them on disk is slow.
    fn for_many() -> Self {
        Self::of(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn of(folder: tempfile::TempDir) -> Self {
        let path = folder.path().canonicalize().unwrap();
        Self { folder, path }
    }

    fn add(&self, path: &[u8]) -> PathBuf {
        let whole = self.path.join(OsStr::from_bytes(path));
        if path.ends_with(b"/") {
            fs::create_dir_all(&whole).unwrap();
        } else {
            fs::create_dir_all(whole.parent().unwrap()).unwrap();
            fs::write(&whole, path).unwrap();
        }
        whole
    }

    fn options(&self) -> TreeOptions {
        TreeOptions { roots: vec![self.path.clone()], ..TreeOptions::default() }
    }

    fn prefix(&self) -> Vec<u8> {
        [self.path.as_os_str().as_bytes(), b"/"].concat()
    }

    /// Names of what was found in the tree, in order; problems and exclusions as text.
    fn walk(&self, options: &TreeOptions) -> Seen {
        let mut seen = Seen::default();
        let prefix = self.prefix();
        let short = |path: &[u8]| {
            let path = path.strip_prefix(&prefix[..]).unwrap_or(path);
            String::from_utf8_lossy(path).into_owned()
        };
        for item in Walk::start(options).unwrap() {
            match item {
                WalkItem::Found(found) => {
                    let path = found.absolute_path();
                    if path.starts_with(&prefix) {
                        seen.found.push(short(&path));
                    } else {
                        seen.above.push(short(&path));
                    }
                }
                WalkItem::Problem(problem) => {
                    seen.problems.push(format!("{}: {}", short(&problem.path), problem.what));
                }
                WalkItem::Excluded { path, why } => {
                    seen.excluded.push(format!("{}: {why:?}", short(&path)));
                }
            }
        }
        seen
    }

    fn found(&self, path: &str) -> Found {
        let wanted = [&self.prefix(), path.as_bytes()].concat();
        let found = Walk::start(&self.options()).unwrap().filter_map(|item| match item {
            WalkItem::Found(found) => Some(found),
            _ => None,
        });
        found.into_iter().find(|found| found.absolute_path() == wanted).unwrap()
    }
}

#[derive(Default, Debug)]
struct Seen {
    above: Vec<String>,
    found: Vec<String>,
    problems: Vec<String>,
    excluded: Vec<String>,
}

fn check(paths: &[&str], change: impl FnOnce(&Tree, &mut TreeOptions), found: &[&str]) -> Seen {
    let tree = Tree::new(paths);
    let mut options = tree.options();
    change(&tree, &mut options);
    let seen = tree.walk(&options);
    assert_eq!(seen.found, found, "{seen:?}");
    seen
}

#[test]
fn entries_come_in_the_order_of_the_manifest() {
    let paths = ["a/b", "a-b", "a\u{1}", "a/b-", "a.d/x", "a0", "B", "a/c/d/e", "a/c-d", "é", "~/"];
    let found = [
        "B", "a", "a/b", "a/b-", "a/c", "a/c/d", "a/c/d/e", "a/c-d", "a\u{1}", "a-b", "a.d",
        "a.d/x",
    ];
    let found = [&found[..], &["a0", "~", "é"]].concat();
    let seen = check(&paths, |_, _| {}, &found);
    assert!(seen.problems.is_empty() && seen.excluded.is_empty(), "{seen:?}");
    assert!(seen.above.len() >= 2 && seen.above.is_sorted());
}

#[test]
fn a_wide_and_deep_tree_comes_whole_and_in_order() {
    let tree = Tree::for_many();
    let mut made = Vec::new();
    for number in 0..20_000_u32 {
        // Spread, so that the order of making is not the order of names.
        made.push(format!("flat/{:x}", number.wrapping_mul(2_654_435_761)));
    }
    for number in 0..800_u32 {
        made.push(format!("many/{}/{}/f", number % 40, number / 40));
    }
    fs::create_dir(tree.path.join("flat")).unwrap();
    for path in &made {
        tree.add(path.as_bytes());
    }
    // A long directory of directories: work that follows parts of a listing.
    for number in 0..1100 {
        tree.add(format!("dirs/{number}/x").as_bytes());
    }
    let seen = tree.walk(&tree.options());
    let sorted = |found: &[String]| {
        found.is_sorted_by(|a, b| compare_paths(a.as_bytes(), b.as_bytes()).is_lt())
    };
    assert!(sorted(&seen.found));
    assert_eq!(seen.found.len(), 20_001 + 1 + 40 + 800 + 800 + 1 + 2200);
    assert!(seen.problems.is_empty());
}

#[test]
fn nested_and_equal_roots_are_merged() {
    let paths = ["a/b/c", "a/d", "e"];
    let roots = |tree: &Tree, options: &mut TreeOptions| {
        let path = &tree.path;
        options.roots =
            vec![path.join("a/b/"), path.join("a"), path.join("a/b/../b"), path.join("a")];
    };
    check(&paths, roots, &["a", "a/b", "a/b/c", "a/d"]);
}

#[test]
fn only_what_leads_to_the_roots_stands_above_them() {
    let paths = ["a/b/c", "a/b-", "d/e", "f"];
    let roots = |tree: &Tree, options: &mut TreeOptions| {
        options.roots = vec![tree.path.join("d/e"), tree.path.join("a/b")];
    };
    let tree_path = |seen: &Seen| seen.above.last().cloned().unwrap();
    let seen = check(&paths, roots, &["a", "a/b", "a/b/c", "d", "d/e"]);
    assert!(tree_path(&seen).starts_with('/'));
    assert!(seen.problems.is_empty());
}

#[test]
fn a_missing_root_is_a_problem_and_the_others_are_walked() {
    let roots = |tree: &Tree, options: &mut TreeOptions| {
        options.roots.push(tree.path.join("missing"));
        options.roots.push(PathBuf::new());
    };
    let seen = check(&["a"], roots, &["a"]);
    assert_eq!(seen.problems, ["missing: does not exist", ": an empty path"]);
}

#[test]
fn a_symbolic_link_as_a_root_is_itself_unless_it_ends_in_a_slash() {
    let tree = Tree::new(&["real/f"]);
    symlink("real", tree.path.join("link")).unwrap();
    let link = tree.path.join("link");
    let mut options = TreeOptions { roots: vec![link.clone()], ..tree.options() };
    assert_eq!(tree.walk(&options).found, ["link"]);
    options.roots = vec![link.join("")];
    assert_eq!(tree.walk(&options).found, ["real", "real/f"]);
    options.roots = vec![link.join("f")];
    assert_eq!(tree.walk(&options).found, ["real", "real/f"]);
    let walk = Walk::start(&options).unwrap();
    assert_eq!(walk.roots(), [tree.path.join("real/f").as_os_str().as_bytes()]);
}

#[test]
fn the_root_of_all_has_no_entry_of_its_own() {
    let options = TreeOptions { roots: vec!["/".into()], ..TreeOptions::default() };
    let walk = Walk::start(&options).unwrap();
    assert_eq!(walk.roots(), [b"/"]);
    let mut last = Vec::new();
    for item in walk.take(5000) {
        if let WalkItem::Found(found) = item {
            let path = found.entry.path.as_bytes();
            assert!(!path.is_empty() && (last.is_empty() || compare_paths(&last, path).is_lt()));
            last = path.to_vec();
        }
    }
    assert!(!last.is_empty());
}

#[test]
fn relative_roots_are_taken_from_the_current_directory() {
    let options = TreeOptions { roots: vec!["src/../src/lib.rs".into()], ..TreeOptions::default() };
    let walk = Walk::start(&options).unwrap();
    let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap().join("src/lib.rs");
    assert_eq!(walk.roots(), [wanted.as_os_str().as_bytes()]);
    assert!(matches!(walk.last(), Some(WalkItem::Found(found))
        if found.entry.path.name() == b"lib.rs" && found.entry.file_size() > 0));
}

#[test]
fn any_bytes_and_any_lengths_of_names_are_taken() {
    let tree = Tree::new(&[]);
    let long = [b'x'; 255];
    let names: [&[u8]; 5] = [b"\x01\n\t", b"\\ * ?", b"\xc3\x28", b"\xff\xfe", &long];
    for name in names {
        tree.add(name);
    }
    let found: Vec<_> = Walk::start(&tree.options())
        .unwrap()
        .filter_map(|item| match item {
            WalkItem::Found(found) => Some(found.entry.path.name().to_vec()),
            _ => None,
        })
        .collect();
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(found[found.len() - names.len()..], sorted);
}

#[test]
fn paths_up_to_the_limit_are_entries_and_deeper_ones_problems() {
    let tree = Tree::new(&[]);
    let name = "d".repeat(200);
    let mut handle = openat(CWD, &tree.path, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    let base_len = tree.prefix().len() - 2;
    let mut depth = 0;
    while base_len + depth * 201 <= limits::PATH_LEN_MAX + 400 {
        mkdirat(&handle, &name, Mode::RWXU).unwrap();
        handle = openat(&handle, &name, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
        depth += 1;
    }
    let seen = tree.walk(&tree.options());
    assert_eq!(seen.found.len(), (limits::PATH_LEN_MAX - base_len) / 201);
    assert_eq!(seen.problems.len(), 1);
    assert!(seen.problems[0].ends_with("its path is longer than 8192 bytes"));
    // The last ones can still be read by handle.
    let mut last = tree.found(seen.found.last().unwrap());
    last.complete().unwrap();
}

#[test]
fn a_deep_tree_costs_no_stack() {
    let tree = Tree::for_many();
    let mut handle = openat(CWD, &tree.path, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..1500 {
        mkdirat(&handle, "d", Mode::RWXU).unwrap();
        handle = openat(&handle, "d", rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    }
    let options = tree.options();
    let walk = move || {
        let mut last = None;
        for (count, item) in Walk::start(&options).unwrap().enumerate() {
            if let WalkItem::Found(found) = item {
                last = Some((count, found));
            }
        }
        // A walk that is dropped while the threads are far ahead.
        let mut dropped = Walk::start(&options).unwrap();
        let first = dropped.next();
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop((dropped, first));
        last.map(|(count, mut found)| (count, found.complete().is_ok()))
    };
    let small = std::thread::Builder::new().stack_size(192 << 10).spawn(walk).unwrap();
    let (count, completes) = small.join().unwrap().unwrap();
    assert!(count >= 1500 && completes);
    // `remove_dir_all` may recurse or use whole paths.
    drop(handle);
    let path = tree.folder.keep();
    let removed = std::process::Command::new("rm").arg("-rf").arg(&path).status().unwrap();
    assert!(removed.success());
}

#[test]
fn a_directory_that_vanishes_keeps_its_entry_and_is_told() {
    let tree = Tree::new(&["a", "b/c/d"]);
    let mut removed = false;
    let mut told = Vec::new();
    for item in Walk::start(&tree.options()).unwrap() {
        match item {
            WalkItem::Found(found) if found.entry.path.name() == b"a" && !removed => {
                // Whether the threads were there before is a race: both ends are sound.
                removed = true;
                fs::remove_dir_all(tree.path.join("b")).unwrap();
            }
            WalkItem::Problem(problem) => told.push(problem.what),
            _ => {}
        }
    }
    assert!(told.len() <= 1 && told.iter().all(|what| what == "vanished while being read"));
}

#[test]
fn an_unreadable_directory_is_found_and_told() {
    if rustix::process::geteuid().is_root() {
        return; // Nothing is unreadable for root.
    }
    let close = |tree: &Tree, _: &mut TreeOptions| {
        fs::set_permissions(tree.path.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    };
    let seen = check(&["a/b", "c"], close, &["a", "c"]);
    assert_eq!(seen.problems, ["a: cannot be opened: Permission denied (os error 13)"]);
}

#[test]
fn a_walk_of_nothing_is_over_at_once() {
    let mut walk = Walk::start(&TreeOptions::default()).unwrap();
    assert!(walk.next().is_none() && walk.next().is_none());
}

#[test]
fn few_handles_stay_open() {
    let tree = Tree::for_many();
    for number in 0..700 {
        tree.add(format!("{}/{number}/f", number % 7).as_bytes());
    }
    let mut all: Vec<_> = Walk::start(&tree.options())
        .unwrap()
        .filter_map(|item| match item {
            WalkItem::Found(found) => Some(found),
            _ => None,
        })
        .collect();
    let prefix = tree.path.clone();
    let fds = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        target.starts_with(&prefix).then_some(())
    });
    assert!(fds.count() <= 512);
    for found in all.iter_mut().filter(|found| !found.entry.is_directory()) {
        found.open().unwrap();
    }
}
