//! Names and paths that others trip over.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use crate::support::{Scene, make, tree};

#[test]
fn names_of_any_bytes_come_back() {
    let scene = Scene::new();
    let names: &[&[u8]] = &[
        b"\xff\xfe\x80",
        b"caf\xe9",
        b"line\nfeed\r\t",
        b"\x01\x1b[31m\x7f",
        b" ",
        b"-rf",
        b"*?[a]{b}",
        b"!not",
        b"#comment",
        b"trailing ",
        b"back\\slash",
        b"quote'\"`$(x)",
        b"...",
        b"colon:name",
        "e\u{301} and \u{e9} and \u{202e}".as_bytes(),
    ];
    for (count, name) in names.iter().enumerate() {
        make::file(&scene.source, make::raw(name), format!("file {count}"));
        let folder = [b"folder ", *name].concat();
        make::file(&scene.source, Path::new(make::raw(&folder)).join(make::raw(name)), "inner");
    }
    scene.assert_round_trip();
}

#[test]
fn every_single_byte_is_a_name() {
    let scene = Scene::new();
    for byte in (1..=255u8).filter(|byte| !b"./".contains(byte)) {
        make::file(&scene.source, make::raw(&[byte]), [byte]);
    }
    scene.assert_round_trip();
}

#[test]
fn order_by_component_survives_names_around_the_slash() {
    let scene = Scene::new();
    for name in ["a", "a.", "a-", "a!", "a0", "a b"] {
        make::file(&scene.source, format!("{name}/a/b"), name);
        make::file(&scene.source, format!("{name}!!"), name);
        make::file(&scene.source, format!("x/{name}\n/c"), name);
    }
    scene.assert_round_trip();
}

#[test]
fn names_of_255_bytes_come_back() {
    let scene = Scene::new();
    let long = "n".repeat(255);
    make::file(&scene.source, &long, "a file");
    make::file(&scene.source, Path::new(&"d".repeat(255)).join(&long), "inner");
    make::file(&scene.source, make::raw(&[0xfe; 255]), "raw");
    std::os::unix::fs::symlink("l".repeat(4000), scene.source.join("s".repeat(255))).unwrap();
    fs::hard_link(scene.source.join(&long), scene.source.join("h".repeat(255))).unwrap();
    scene.assert_round_trip();
}

/// Makes `names` one below the other and calls `then` with every folder.
fn descend(root: &Path, names: &[String], then: impl Fn(&OwnedFd, usize)) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, root, flags, Mode::empty()).unwrap();
    for (depth, name) in names.iter().enumerate() {
        mkdirat(&folder, name.as_str(), Mode::from_raw_mode(0o755)).unwrap();
        folder = openat(&folder, name.as_str(), flags, Mode::empty()).unwrap();
        then(&folder, depth);
    }
}

#[test]
fn a_path_longer_than_the_system_takes_comes_back() {
    let scene = Scene::new();
    let names: Vec<String> = (0..24).map(|depth| format!("{depth:02}").repeat(120)).collect();
    assert!(names.join("/").len() > 4096);
    descend(&scene.source, &names, |folder, depth| {
        let name = tree::through(folder, OsStr::new("file"));
        fs::write(name, format!("at depth {depth}")).unwrap();
        std::os::unix::fs::symlink("file", tree::through(folder, OsStr::new("link"))).unwrap();
    });
    scene.assert_round_trip();
    // The tree is really as deep as that on both sides: the comparison saw every level.
    assert_eq!(tree::of(&scene.source).len(), 1 + 24 * 3);
}

#[test]
fn three_hundred_folders_one_below_the_other_come_back() {
    let scene = Scene::new();
    let names: Vec<String> = (0..300).map(|depth| format!("d{depth}")).collect();
    descend(&scene.source, &names, |folder, depth| {
        if depth % 50 == 0 {
            fs::write(tree::through(folder, OsStr::new("f")), [depth as u8]).unwrap();
        }
    });
    scene.assert_round_trip();
}

#[test]
fn a_folder_of_a_hundred_thousand_entries_comes_back() {
    let scene = Scene::in_memory();
    for number in 0..100_000u32 {
        let name = scene.source.join(format!("{:08x}", number.wrapping_mul(2_654_435_761)));
        if number % 1000 == 0 {
            fs::write(&name, number.to_le_bytes()).unwrap();
        } else {
            fs::File::create(&name).unwrap();
        }
    }
    let first = scene.try_backup(&[]).ok();
    assert_eq!(first.summary()["files_new"], 100_000);
    let restored = scene.restored(&first.snapshot_id());
    crate::support::assert_same_tree(&scene.source, &restored);
}
