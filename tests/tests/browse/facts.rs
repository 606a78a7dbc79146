//! `snapshots --verbose` and `ls --facts`: what sources are and what was measured of them.

use crate::support::{Scene, make};

#[test]
fn the_sources_of_a_snapshot_are_shown_with_what_was_measured() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "12345");
    scene.backup();
    let stream = ["--json", "backup", "--stdin", "--stdin-filename", "db.sql"];
    scene.coffer_reading(stream, b"create table").ok();
    let verbose = scene.coffer(["snapshots", "--verbose"]).ok().text();
    assert!(verbose.lines().any(|line| line.starts_with("  tree files: complete, ")), "{verbose}");
    assert!(verbose.contains("5 B") && verbose.contains("2 snapshots"), "{verbose}");
    assert!(verbose.contains("  stream "), "{verbose}");
    let facts = scene.coffer(["ls", "--facts", "latest"]).ok().text();
    assert!(facts.contains("  stream ") && facts.contains("complete, 1 entry, 12 B"), "{facts}");
    let line = &scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0];
    assert_eq!(line["sources"][0]["kind"], "stream");
    assert_eq!(line["sources"][0]["bytes"], 12);
    let listed = &scene.coffer(["--json", "snapshots"]).ok().json()[0];
    assert_eq!(listed[0]["sources"][0]["name"], "files");
}
