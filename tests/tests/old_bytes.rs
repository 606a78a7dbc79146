//! Old bytes from the cache of a host, for a repository that is dear to read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;

use crate::harm::support::{Picture, Site, backup_arguments, table};
use crate::support::run::{Run, finish};
use crate::support::{NOT_RACY, Scene, assert_same_contents};

/// A command that takes old bytes from the cache alone.
fn command(scene: &Scene) -> Command {
    let mut command = scene.command();
    command.env("COFFER_OLD_BYTES", "cache");
    command
}

/// Backs up a dump from standard input and one from a command, a database, and a long file.
fn backup(scene: &Scene, dump: &[u8], options: &[&str]) -> Run {
    let mut command = command(scene);
    let printed = format!("cat {}", scene.path("printed").display());
    command.args(["--json", "backup", "--job", "job", "--stdin", "--stdin-filename", "dump.sql"]);
    command.args(["--command", &printed, "--name", "printed.sql"]);
    command.arg("--sqlite").arg(scene.path("app.db"));
    command.args(NOT_RACY).args(options).arg(&scene.source);
    finish(&mut command, Some(dump)).ok()
}

fn stored(run: &Run) -> u64 {
    run.summary()["data_added_packed"].as_u64().unwrap()
}

/// The files of cached old bytes.
fn cached(cache: &Path) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(cache) else { return Vec::new() };
    let shelves = folders.map(|folder| folder.unwrap().path().join("bases"));
    let files = shelves.filter_map(|shelf| fs::read_dir(shelf).ok()).flatten();
    files.map(|file| file.unwrap().path()).collect()
}

/// Asserts that each file is whole: its name is the hash of its bytes.
#[track_caller]
fn assert_whole(files: &[PathBuf]) {
    for file in files {
        let hash = blake3::hash(&fs::read(file).unwrap()).to_hex();
        assert_eq!(file.file_name().unwrap().to_str(), Some(hash.as_str()), "half-written");
    }
}

fn of_round(scene: &Scene, round: u64) -> String {
    fs::write(scene.path("printed"), table(round).replace("row", "line")).unwrap();
    fs::write(scene.source.join("image"), table(round).replace("row", "item of the image"))
        .unwrap();
    let database = Connection::open(scene.path("app.db")).unwrap();
    let sql = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body TEXT);
        INSERT OR IGNORE INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
            SELECT i, hex(i * 7919 % 100003) || ' some words of the row' FROM n;
        UPDATE t SET body = body || '!' WHERE id % 97 = 1";
    database.execute_batch(sql).unwrap();
    table(round)
}

#[test]
fn every_source_grows_by_differences_from_the_cache_alone() {
    let scene = Scene::new();
    let first = backup(&scene, of_round(&scene, 0).as_bytes(), &[]);
    assert!(!cached(&scene.cache).is_empty());
    let mut last = String::new();
    for round in 1..4 {
        let next = backup(&scene, of_round(&scene, round).as_bytes(), &[]);
        let (stored, before) = (stored(&next), stored(&first));
        assert!(stored * 4 < before, "round {round}: {stored} of {before}");
        last = next.snapshot_id();
    }
    assert_whole(&cached(&scene.cache));
    assert_same_contents(&scene.source, &scene.restored(&last));
    scene.coffer(["verify"]).ok();
    for (name, wanted) in [("dump.sql", table(3)), ("printed.sql", table(3).replace("row", "line"))]
    {
        let run = scene.coffer(["cat", &format!("{last}:{name}")]).ok();
        assert!(run.stdout == wanted.into_bytes(), "{name}");
    }
    // Without its cache a host stores what changed anew, and goes on from there.
    fs::remove_dir_all(&scene.cache).unwrap();
    let cold = backup(&scene, of_round(&scene, 4).as_bytes(), &[]);
    assert!(stored(&cold) * 2 > stored(&first));
    let warm = backup(&scene, of_round(&scene, 5).as_bytes(), &[]);
    assert!(stored(&warm) * 4 < stored(&first));
    scene.coffer(["verify"]).ok();
}

#[test]
fn a_local_repository_needs_no_cache_of_old_bytes() {
    let scene = Scene::new();
    for round in 0..2 {
        fs::write(scene.source.join("table"), table(round)).unwrap();
        scene.try_backup(&NOT_RACY).ok();
    }
    assert!(cached(&scene.cache).is_empty());
    fs::write(scene.source.join("table"), table(2)).unwrap();
    scene.try_backup(&["--racy-window", "0s", "--old-bytes", "cache"]).ok();
    assert!(!cached(&scene.cache).is_empty());
}

#[test]
fn mistakes_about_old_bytes_are_told_before_anything_is_done() {
    let scene = Scene::new();
    for (options, told) in [
        (&["--old-bytes", "cache", "--no-cache"][..], "old bytes cannot come from the cache"),
        (&["--old-bytes", "tape"], "repository"),
        (&["--old-bytes-limit", "1M"], "at least 16M"),
        (&["--no-delta", "--old-bytes", "cache"], "--no-delta"),
    ] {
        let run = scene.try_backup(options).fails_with(2);
        assert!(run.errors().contains(told), "{options:?}: {}", run.errors());
    }
    let mut command = scene.command();
    command.args(["backup", "/etc/hostname"]).env("COFFER_OLD_BYTES_LIMIT", "little");
    let run = finish(&mut command, None).fails_with(2);
    assert!(run.errors().contains("COFFER_OLD_BYTES_LIMIT"), "{}", run.errors());
    assert!(scene.listed().is_empty());
    // The variable is for all commands: where there is no cache it is in nobody's way.
    let mut command = scene.command();
    command.args(["backup", "--no-cache", "/etc/hostname"]).env("COFFER_OLD_BYTES", "cache");
    let run = finish(&mut command, None).ok();
    assert!(run.errors().contains("what has changed is stored whole"), "{}", run.errors());
}

#[test]
fn processes_that_fill_one_cache_at_once_do_each_other_no_harm() {
    let scene = Scene::new();
    let folders: Vec<PathBuf> =
        (0..3).map(|number| scene.path(&format!("tree-{number}"))).collect();
    folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    for round in 0..4 {
        let start = |(number, folder): (usize, &PathBuf)| {
            let text = table(round).replace("row", &format!("row of {number}"));
            fs::write(folder.join("table"), text).unwrap();
            let mut command = command(&scene);
            command
                .args(["--json", "backup", "--old-bytes-limit", "16M"])
                .args(NOT_RACY)
                .arg(folder);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running: Vec<_> = folders.iter().enumerate().map(start).collect();
        for child in running {
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let line: serde_json::Value =
                serde_json::from_str(told.lines().last().unwrap()).unwrap();
            let stored = line["data_added_packed"].as_u64().unwrap();
            assert!(round == 0 || stored < 60_000, "round {round}: {stored}");
        }
        assert_whole(&cached(&scene.cache));
    }
    scene.coffer(["verify"]).ok();
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_entry_in_the_cache() {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    let arguments = [&backup_arguments(&tree)[..], &["--old-bytes", "cache"]].concat();
    let mut killed = 0;
    for n in 1..40 {
        fs::write(tree.join("table"), table(n)).unwrap();
        killed += u32::from(site.dying(n * 2, &arguments).code.is_none());
        assert_whole(&cached(&site.path("state.cache")));
    }
    assert!(killed > 5, "{killed} were killed");
    let id = site.home(&arguments).expect(0).snapshot_id().unwrap();
    site.assert_restores(&id, &tree, &Picture::of(&tree));
    site.stranger(&["verify"]).expect(0);
}
