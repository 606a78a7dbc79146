//! `find`: which entries, in which order, and at which cost.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{NOT_RACY, Scene, make};

#[test]
fn entries_are_found_by_name_and_by_path_in_every_snapshot_oldest_first() {
    let scene = Scene::new();
    make::file(&scene.source, "etc/app.conf", "a");
    make::file(&scene.source, "srv/app.conf", "b");
    make::file(&scene.source, "srv/other", "b");
    let first = scene.backup();
    make::file(&scene.source, "srv/new/app.conf", "c");
    let second = scene.backup();
    let found = |args: &[&str]| -> Vec<(String, String)> {
        let lines = scene.coffer([&["--json", "find"], args].concat()).ok().json();
        let root = scene.source.to_str().unwrap();
        let nodes = lines.iter().filter(|line| line["message_type"] == "node");
        nodes
            .map(|line| {
                let path = line["path"].as_str().unwrap().strip_prefix(root).unwrap().to_owned();
                (line["snapshot_id"].as_str().unwrap().to_owned(), path)
            })
            .collect()
    };
    let at = |id: &str, path: &str| (id.to_owned(), path.to_owned());
    let by_name = [
        at(&first, "/etc/app.conf"),
        at(&first, "/srv/app.conf"),
        at(&second, "/etc/app.conf"),
        at(&second, "/srv/app.conf"),
        at(&second, "/srv/new/app.conf"),
    ];
    assert_eq!(found(&["app.conf"]), by_name);
    let rooted = format!("{}/srv/*.conf", scene.source.display());
    assert_eq!(found(&[&rooted, "--snapshot", "latest"]), [at(&second, "/srv/app.conf")]);
    assert_eq!(found(&["new", "--type", "dir"]), [at(&second, "/srv/new")]);
    assert_eq!(found(&["new", "--type", "file"]), []);
    assert_eq!(found(&["new", "other", "--snapshot", &second[..8]]).len(), 2);
    let summary = scene.coffer(["--json", "find", "new"]).ok().summary();
    assert_eq!((&summary["snapshots"], &summary["matches"]), (&2.into(), &1.into()));
}

#[test]
fn the_text_names_the_snapshot_and_long_lines_are_those_of_ls() {
    let scene = Scene::new();
    make::file(&scene.source, make::raw(b"odd\x1b\xff"), "123");
    symlink("x", scene.source.join("link")).unwrap();
    let id = scene.try_backup(&["--host", "web"]).ok().snapshot_id();
    let text = scene.coffer(["find", "odd*"]).ok().text();
    let (head, line) = text.trim_end().split_once('\n').unwrap();
    assert!(head.starts_with(&format!("snapshot {} of ", &id[..8])), "{text}");
    assert!(head.ends_with(" on web:") && line.ends_with("/odd\\x1b\\xff"), "{text}");
    let long = scene.coffer(["find", "-l", "link", "-t", "l"]).ok().text();
    assert!(long.contains("lrwxrwxrwx") && long.contains("link -> x"), "{long}");
    let none = scene.coffer(["find", "nothing", "--host", "web"]).ok();
    assert!(none.stdout.is_empty() && none.errors().contains("1 snapshot"), "{}", none.errors());
    assert!(scene.coffer(["find", "link", "--host", "db"]).ok().stdout.is_empty());
    scene.coffer(["find", "{a"]).fails_with(2);
    scene.coffer(["find", "a", "--snapshot", "abcd"]).fails_with(1);
}

#[test]
fn damage_of_a_list_of_files_is_told_and_the_rest_is_found() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    scene.try_backup(&NOT_RACY).ok();
    // No new data, so the newest pack is the one with the new page.
    make::mode(&scene.source.join("file"), 0o600);
    scene.try_backup(&NOT_RACY).ok();
    let all = scene.coffer(["--json", "find", "file"]).ok().json().len();
    assert_eq!(all, 3);
    let mut packs: Vec<_> = walk(&scene.repo.join("packs"));
    packs.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let last = packs.pop().unwrap();
    fs::remove_file(&last).unwrap();
    let _ = fs::remove_dir_all(&scene.cache);
    let run = scene.coffer(["find", "file"]).fails_with(4);
    assert!(run.text().lines().count() >= 2, "{}", run.text());
    assert!(run.errors().contains("pack"), "{}", run.errors());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
