//! Only what differs is fetched and written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{Run, Scene, assert_same_contents, make};

const LARGE: usize = 24 << 20;

fn restore(scene: &Scene, id: &str, target: &Path, options: &[&str]) -> Run {
    let from = format!("{id}:{}", scene.source.display());
    let mut args = vec!["--json", "restore", &from, "--target", target.to_str().unwrap()];
    args.extend(options);
    scene.coffer(args)
}

fn number(summary: &Value, field: &str) -> u64 {
    summary[field].as_u64().unwrap_or_else(|| panic!("{field} in {summary}"))
}

/// A source of one large file and some small ones, and a target that has it.
fn restored() -> (Scene, String, std::path::PathBuf) {
    let scene = Scene::new();
    make::file(&scene.source, "large", make::noise(1, LARGE));
    for file in 0..20 {
        make::file(&scene.source, format!("small/{file}"), make::noise(100 + file, 30_000));
    }
    let id = scene.backup();
    let target = scene.fresh_target();
    let first = restore(&scene, &id, &target, &[]).ok().summary();
    assert!(number(&first, "bytes_fetched") > LARGE as u64, "{first}");
    (scene, id, target)
}

#[test]
fn a_target_that_is_equal_is_not_written_and_nothing_is_fetched() {
    let (scene, id, target) = restored();
    let inode = fs::metadata(target.join("large")).unwrap().ino();
    for mode in ["always", "if-changed"] {
        // Metadata is mended in any case; with another time the content has to be read to be known.
        make::mode(&target.join("large"), 0o600);
        make::mtime(&target.join("small/3"), 5, 5);
        let summary = restore(&scene, &id, &target, &["--overwrite", mode]).ok().summary();
        assert_eq!(number(&summary, "bytes_fetched"), 0, "{mode}: {summary}");
        assert_eq!(number(&summary, "bytes_restored"), 0, "{mode}: {summary}");
        assert_eq!(number(&summary, "files_skipped"), 21, "{mode}: {summary}");
        assert_same_contents(&scene.source, &target);
    }
    assert_eq!(fs::metadata(target.join("large")).unwrap().ino(), inode);
}

#[test]
fn a_changed_run_of_a_large_file_is_fetched_alone_and_the_file_is_replaced_whole() {
    let (scene, id, target) = restored();
    let large = target.join("large");
    let inode = fs::metadata(&large).unwrap().ino();
    let mut bytes = fs::read(&large).unwrap();
    bytes[LARGE / 2] ^= 1;
    fs::write(&large, &bytes).unwrap();
    let reader = fs::File::open(&large).unwrap();
    let summary = restore(&scene, &id, &target, &[]).ok().summary();
    let fetched = number(&summary, "bytes_fetched");
    assert!(fetched > 0 && fetched <= 9 << 20, "{summary}");
    assert_same_contents(&scene.source, &target);
    assert_ne!(fs::metadata(&large).unwrap().ino(), inode);
    // Who had it open still reads the old file.
    let mut old = vec![0; 1];
    std::os::unix::fs::FileExt::read_at(&reader, &mut old, LARGE as u64 / 2).unwrap();
    assert_eq!(old[0], bytes[LARGE / 2]);
}

#[test]
fn a_change_that_size_and_time_hide_is_found_by_always_and_believed_by_if_changed() {
    let (scene, id, target) = restored();
    let small = target.join("small/7");
    let (before, mut bytes) = (fs::metadata(&small).unwrap(), fs::read(&small).unwrap());
    bytes[0] ^= 1;
    fs::write(&small, &bytes).unwrap();
    make::mtime(&small, before.mtime(), before.mtime_nsec());
    restore(&scene, &id, &target, &["--overwrite", "if-changed"]).ok();
    assert_eq!(fs::read(&small).unwrap(), bytes);
    restore(&scene, &id, &target, &["--overwrite", "always"]).ok();
    assert_same_contents(&scene.source, &target);
}

#[test]
fn longer_shorter_holed_and_linked_files_become_what_they_were() {
    let scene = Scene::new();
    let bytes = make::noise(5, 6 << 20);
    for name in ["longer", "shorter", "empty now", "linked", "outside link"] {
        make::file(&scene.source, name, &bytes);
    }
    make::file(&scene.source, "empty", "");
    fs::hard_link(scene.source.join("linked"), scene.source.join("linked too")).unwrap();
    let holed = fs::File::create(scene.source.join("holed")).unwrap();
    holed.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&holed, &bytes[..1 << 20], 4 << 20).unwrap();
    let id = scene.backup();
    for options in [&[][..], &["--sparse"]] {
        let target = scene.fresh_target();
        restore(&scene, &id, &target, options).ok();
        let grown = [&bytes[..], b"more"].concat();
        fs::write(target.join("longer"), grown).unwrap();
        fs::write(target.join("shorter"), &bytes[..3 << 20]).unwrap();
        fs::write(target.join("empty now"), "").unwrap();
        fs::write(target.join("empty"), &bytes).unwrap();
        let file = fs::File::options().write(true).open(target.join("holed")).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, b"in the hole", 100).unwrap();
        let outside = scene.path("outside");
        let _ = fs::remove_file(&outside);
        fs::hard_link(target.join("outside link"), &outside).unwrap();
        make::mode(&outside, 0o640);
        let summary = restore(&scene, &id, &target, options).ok().summary();
        assert_same_contents(&scene.source, &target);
        // Equal bytes are copied, not fetched: of the six files only two lack some.
        assert!(number(&summary, "bytes_fetched") < 13 << 20, "{summary}");
        // A file that somebody else has a name of is not touched.
        assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o640);
    }
}
