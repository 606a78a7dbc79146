//! `diff`: every kind of difference, and nothing where there is none.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Scene, make};

fn marks(scene: &Scene, args: &[&str]) -> Vec<(String, String)> {
    let run = scene.coffer([&["--json", "diff"], args].concat()).ok();
    let root = scene.source.to_str().unwrap();
    let changes = run.json().into_iter().filter(|line| line["message_type"] == "change");
    changes
        .map(|line| {
            let path = line["path"].as_str().unwrap();
            let path = path.strip_prefix(root).unwrap_or(path);
            (line["modifier"].as_str().unwrap().to_owned(), path.to_owned())
        })
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(mark, path)| ((*mark).to_owned(), (*path).to_owned())).collect()
}

#[test]
fn every_difference_has_its_mark() {
    let scene = Scene::new();
    for name in ["a/same", "a/touched", "a/written", "b/gone", "c"] {
        make::file(&scene.source, name, name);
    }
    make::file(&scene.source, "a/big", make::noise(1, 3_000_000));
    symlink("old", scene.source.join("link")).unwrap();
    let first = scene.backup();
    make::mode(&scene.source.join("a/touched"), 0o600);
    make::file(&scene.source, "a/written", "other bytes");
    let mut big = make::noise(1, 3_000_000);
    big[2_000_000] ^= 1;
    make::file(&scene.source, "a/big", big);
    fs::remove_dir_all(scene.source.join("b")).unwrap();
    fs::remove_file(scene.source.join("c")).unwrap();
    make::file(&scene.source, "c/inner", "12345");
    fs::remove_file(scene.source.join("link")).unwrap();
    symlink("new", scene.source.join("link")).unwrap();
    let second = scene.backup();
    let changed = [
        ("M", "/a/big"),
        ("M", "/a/written"),
        ("-", "/b"),
        ("-", "/b/gone"),
        ("T", "/c"),
        ("+", "/c/inner"),
        ("M", "/link"),
    ];
    assert_eq!(marks(&scene, &[&first, &second]), pairs(&changed));
    let with_metadata = marks(&scene, &["--metadata", &first, &second]);
    for wanted in pairs(&[("U", "/a/touched"), ("U", "")]) {
        assert!(with_metadata.contains(&wanted), "{with_metadata:?}");
    }
    let summary = scene.coffer(["--json", "diff", &first, &second]).ok().json().pop().unwrap();
    assert_eq!(summary["message_type"], "statistics");
    assert_eq!((&summary["added"]["files"], &summary["added"]["bytes"]), (&1.into(), &5.into()));
    assert_eq!(summary["removed"]["dirs"], 1);
    assert_eq!(summary["changed_files"], 2);
    let text = scene.coffer(["diff", &first, &second]).ok().text();
    assert!(text.contains(&format!("-    {}/b/\n", scene.source.display())), "{text}");
    assert!(text.contains("changed  2 files, 1 folder, 1 other"), "{text}");
    assert_eq!(marks(&scene, &[&second, &second]), []);
    assert_eq!(marks(&scene, &["--metadata", &first, &first]), []);
}

#[test]
fn folders_and_files_are_compared_wherever_they_are() {
    let scene = Scene::new();
    make::file(&scene.source, "one/x/deep", "1");
    make::file(&scene.source, "one/only", "1");
    make::file(&scene.source, "two/x/deep", "2");
    make::file(&scene.source, "two/x!", "2");
    let id = scene.backup();
    let part = |name: &str| format!("{id}:{}/{name}", scene.source.display());
    let wanted = [("-", "/one/only"), ("M", "/two/x/deep"), ("+", "/two/x!")];
    assert_eq!(marks(&scene, &[&part("one"), &part("two")]), pairs(&wanted));
    assert_eq!(marks(&scene, &[&part("one"), &part("one")]), []);
    let files = marks(&scene, &[&part("one/only"), &part("two/x!")]);
    assert_eq!(files, pairs(&[("M", "/two/x!")]));
    let missing = scene.coffer(["diff", &part("one"), &part("none")]).fails_with(1);
    assert!(missing.errors().contains("/none is not in snapshot"), "{}", missing.errors());
}

#[test]
fn a_large_tree_with_one_change_shows_one_change() {
    let scene = Scene::in_memory();
    for folder in 0..60 {
        for file in 0..50 {
            make::file(&scene.source, format!("folder-{folder}/file-{file}"), format!("{file}"));
        }
    }
    let first = scene.backup();
    make::file(&scene.source, "folder-7/file-7+", "new");
    fs::remove_file(scene.source.join("folder-40/file-49")).unwrap();
    let second = scene.backup();
    let forth = [("-", "/folder-40/file-49"), ("+", "/folder-7/file-7+")];
    assert_eq!(marks(&scene, &[&first, &second]), pairs(&forth));
    let back = [("+", "/folder-40/file-49"), ("-", "/folder-7/file-7+")];
    assert_eq!(marks(&scene, &[&second, &first]), pairs(&back));
}

#[test]
fn the_same_bytes_with_and_without_holes_are_no_difference() {
    let scene = Scene::new();
    let path = scene.source.join("sparse");
    fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let first = scene.backup();
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    let second = scene.backup();
    assert_eq!(marks(&scene, &[&first, &second]), []);
}
