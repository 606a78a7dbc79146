//! `snapshots`, `ls`, `cat`: what they show and how they choose.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::FileType;

use crate::support::{Scene, is_root, make};

#[test]
fn snapshots_are_filtered_by_host_tag_and_job_and_cut_to_the_newest() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let backup = |options: &[&str]| scene.try_backup(options).ok().snapshot_id();
    let a = backup(&["--host", "web", "--tag", "nightly,full", "--job", "one"]);
    let b = backup(&["--host", "web", "--tag", "nightly", "--job", "one"]);
    let c = backup(&["--host", "db", "--tag", "full", "--job", "two"]);
    let listed = |options: &[&str]| -> Vec<String> {
        let args = [&["--json", "snapshots"][..], options].concat();
        let run = scene.coffer(args).ok();
        let list = run.json().remove(0);
        let ids = list.as_array().unwrap().iter();
        ids.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&[]), [&*a, &b, &c]);
    assert_eq!(listed(&["--host", "web"]), [&*a, &b]);
    assert_eq!(listed(&["--tag", "full"]), [&*a, &c]);
    assert_eq!(listed(&["--tag", "nightly,full"]), [&*a]);
    assert_eq!(listed(&["--job", "two"]), [&*c]);
    assert_eq!(listed(&["--latest", "1"]), [&*b, &c]);
    assert_eq!(listed(&["--latest", "0"]).len(), 0);
    assert_eq!(listed(&["--host", "web", "--job", "two"]).len(), 0);
    let chosen = scene.coffer(["--json", "ls", "latest", "--host", "web"]).ok().json();
    assert_eq!(chosen[0]["id"], *b);
    scene.coffer(["ls", "latest", "--host", "nobody"]).fails_with(1);
}

#[test]
fn snapshots_for_people_show_what_the_lines_of_json_hold() {
    let scene = Scene::new();
    assert!(scene.coffer(["snapshots"]).ok().text().contains("no snapshots"));
    make::file(&scene.source, "file", "x");
    let id = scene.try_backup(&["--host", "web", "--tag", "t1", "--job", "j1"]).ok().snapshot_id();
    let text = scene.coffer(["snapshots"]).ok().text();
    for word in [&id[..8], "web", "t1", "j1", scene.source.to_str().unwrap(), "1 snapshot"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let line = &scene.coffer(["--json", "snapshots"]).ok().json()[0][0];
    assert_eq!((&line["hostname"], &line["job"]), (&"web".into(), &"j1".into()));
    assert_eq!(line["state"], "complete");
    assert_eq!(line["paths"][0], scene.source.to_str().unwrap());
}

#[test]
fn ids_are_named_by_their_first_digits() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let id = scene.backup();
    for name in [&id[..4], &id[..8], &id.to_uppercase(), "latest"] {
        scene.coffer(["ls", name]).ok();
    }
    scene.coffer(["ls", &id[..3]]).fails_with(2);
    let other: String = id.chars().map(|c| if c == 'f' { '0' } else { 'f' }).collect();
    scene.coffer(["ls", &other]).fails_with(1);
}

#[test]
fn a_list_shows_every_path_once_and_long_its_facts() {
    let scene = Scene::new();
    let file = make::file(&scene.source, "folder/file", "12345");
    make::mode(&file, 0o4750);
    make::mode(&scene.source.join("folder"), 0o1777);
    symlink("to\nhere", scene.source.join("link")).unwrap();
    make::node(&scene.source.join("fifo"), FileType::Fifo, 0);
    make::file(&scene.source, make::raw(b"odd\x1b[31m\xff\n"), "");
    if is_root() {
        std::os::unix::fs::chown(&file, Some(54_321), Some(54_322)).unwrap();
        make::mode(&file, 0o4750);
    }
    scene.backup();
    let source = scene.source.to_str().unwrap();
    let path = |name: &str| format!("{source}/{name}");
    let short = scene.coffer(["ls", &format!("latest:{source}")]).ok().text();
    let wanted = ["", "/fifo", "/folder", "/folder/file", "/link", "/odd\\x1b[31m\\xff\\n"];
    let wanted: Vec<String> = wanted.iter().map(|name| format!("{source}{name}")).collect();
    assert_eq!(short.lines().collect::<Vec<_>>(), wanted);
    let long = scene.coffer(["ls", "-l", "latest"]).ok().text();
    let line = |name: &str| long.lines().find(|line| line.contains(&path(name))).unwrap();
    assert!(line("folder/file").starts_with("-rwsr-x---"), "{long}");
    assert!(line("folder/file").contains(" 5 "), "{long}");
    assert!(!is_root() || line("folder/file").contains("54321    54322"), "{long}");
    assert!(line("folder").starts_with("drwxrwxrwt"), "{long}");
    assert!(line("link").starts_with('l') && line("link").ends_with(" -> to\\nhere"), "{long}");
    assert!(line("fifo").starts_with("prw-r-----"), "{long}");
}

#[test]
fn a_folder_that_several_sources_have_is_listed_once() {
    let scene = Scene::new();
    make::file(&scene.source, "data/file", "x");
    let path = scene.source.join("data/app.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    scene.try_backup(&["--sqlite", path.to_str().unwrap()]).ok();
    let text = scene.coffer(["ls", "latest"]).ok().text();
    let listed: Vec<_> = text.lines().collect();
    let above = scene.source.ancestors().filter(|path| path.parent().is_some());
    let mut wanted: Vec<_> = above.map(|path| path.to_str().unwrap().to_owned()).collect();
    wanted.reverse();
    for name in ["data", "data/app.db", "data/file"] {
        wanted.push(scene.source.join(name).to_str().unwrap().to_owned());
    }
    assert_eq!(listed, wanted);
    let nodes = scene.coffer(["--json", "ls", "latest"]).ok().json();
    assert_eq!(nodes.len(), 1 + wanted.len());
    // Of one source, all that it has.
    let source = |path: &String| &nodes.iter().find(|it| it["path"] == **path).unwrap()["source"];
    let (name, file) = (source(&wanted[wanted.len() - 2]), source(&wanted[wanted.len() - 1]));
    assert!(*file == "files" && *name != "files", "{name} {file}");
    let one = scene.coffer(["ls", "latest", "--source", name.as_str().unwrap()]).ok().text();
    assert_eq!(one.lines().count(), wanted.len() - 1);
}

#[test]
fn a_list_as_json_keeps_names_that_are_no_text() {
    let scene = Scene::new();
    make::file(&scene.source, make::raw(b"\xff"), "123");
    scene.backup();
    let lines = scene.coffer(["--json", "ls", "latest"]).ok().json();
    assert_eq!(lines[0]["message_type"], "snapshot");
    let node = lines.last().unwrap();
    assert_eq!((&node["type"], &node["size"]), (&"file".into(), &3.into()));
    assert!(node["path"].as_str().unwrap().ends_with("/\u{fffd}"));
    assert!(node["path_b64"].is_string(), "{node}");
}

#[test]
fn a_part_of_a_snapshot_is_listed_by_folder_and_by_file() {
    let scene = Scene::new();
    for name in ["a/x", "a!/x", "ab/x"] {
        make::file(&scene.source, name, "x");
    }
    scene.backup();
    let list = |name: &str| {
        let from = format!("latest:{}/{name}", scene.source.display());
        scene.coffer(["ls", &from])
    };
    assert_eq!(list("a").ok().text().lines().count(), 2);
    assert_eq!(list("a/x").ok().text().lines().count(), 1);
    let missing = list("a/y").fails_with(1);
    assert!(missing.errors().contains("a/y"), "{}", missing.errors());
}

#[test]
fn cat_writes_files_and_refuses_what_is_none() {
    let scene = Scene::new();
    let bytes = make::noise(1, 5_000_000);
    make::file(&scene.source, "folder/file", &bytes);
    fs::File::create(scene.source.join("hole")).unwrap().set_len(300_000).unwrap();
    symlink("file", scene.source.join("folder/link")).unwrap();
    make::node(&scene.source.join("fifo"), FileType::Fifo, 0);
    scene.backup();
    let cat =
        |name: &str| scene.coffer(["cat", &format!("latest:{}/{name}", scene.source.display())]);
    assert!(cat("folder/file").ok().stdout == bytes);
    assert!(cat("hole").ok().stdout == vec![0; 300_000]);
    for (name, word) in
        [("folder", "folder"), ("folder/link", "symbolic link"), ("fifo", "special")]
    {
        let run = cat(name).fails_with(2);
        assert!(run.errors().contains(word) && run.stdout.is_empty(), "{}", run.errors());
    }
    cat("folder/file/below").fails_with(1);
    cat("missing").fails_with(1);
}
