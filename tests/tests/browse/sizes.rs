//! `stats`: sums that can be known beforehand.

use std::fs;

use serde_json::Value;

use crate::support::{Scene, make};

fn stats(scene: &Scene, args: &[&str]) -> Value {
    let mut lines = scene.coffer([&["--json", "stats"], args].concat()).ok().json();
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn what_snapshots_share_is_counted_once() {
    let scene = Scene::new();
    make::file(&scene.source, "noise", make::noise(1, 1_000_000));
    make::file(&scene.source, "twin", make::noise(1, 1_000_000));
    let first = scene.backup();
    make::file(&scene.source, "text", "x".repeat(500_000));
    scene.backup();
    let all = stats(&scene, &[]);
    let list = all["snapshots"].as_array().unwrap();
    assert_eq!((list.len(), list[0]["id"].as_str()), (2, Some(first.as_str())));
    assert_eq!(number(&list[0]["logical_bytes"]), 2_000_000);
    assert_eq!(number(&list[0]["unique_bytes"]), 1_000_000);
    assert_eq!(number(&list[1]["logical_bytes"]), 2_500_000);
    assert_eq!(number(&all["total"]["logical_bytes"]), 4_500_000);
    assert_eq!(list[0]["deduplication_ratio"], 2.0);
    let unique = number(&all["total"]["unique_bytes"]);
    assert!((1_000_001..=1_500_000).contains(&unique), "{unique}");
    let stored = number(&all["total"]["stored_bytes"]);
    assert!((1_000_000..1_010_000).contains(&stored), "{stored}");
    let repository = &all["repository"];
    assert!(number(&repository["garbage_bytes"]) < 100, "{repository}");
    let on_disk = fs_bytes(&scene.repo);
    assert_eq!(number(&repository["total"]["bytes"]), on_disk);
    assert_eq!(number(&repository["snapshots"]["count"]), 2);
    assert_eq!(number(&repository["packs"]), 4);
    let one = stats(&scene, &["latest"]);
    assert_eq!(one["snapshots"].as_array().unwrap().len(), 1);
    assert!(one["repository"]["garbage_bytes"].is_null());
}

#[test]
fn the_text_has_a_line_for_each_snapshot_and_each_purpose() {
    let scene = Scene::new();
    let empty = scene.coffer(["stats"]).ok().text();
    assert!(empty.contains("total") && empty.contains("repository"), "{empty}");
    make::file(&scene.source, "file", "x");
    let id = scene.try_backup(&["--host", "web"]).ok().snapshot_id();
    let text = scene.coffer(["stats"]).ok().text();
    for word in [&id[..8], "data", "metadata", "index", "snapshots", "control", "garbage"] {
        assert!(text.lines().any(|line| line.starts_with(word)), "{word}: {text}");
    }
    assert!(!scene.coffer(["stats", "--host", "db"]).ok().text().contains("garbage"));
}

fn fs_bytes(folder: &std::path::Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let bytes = entries.map(|path| {
        if path.is_dir() { fs_bytes(&path) } else { fs::metadata(&path).unwrap().len() }
    });
    bytes.sum()
}
