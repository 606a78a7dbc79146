//! What other sources hold, and what databases need, is not deleted as extra.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::{Run, Scene, below, make, run, tree};

const DELETE: [&str; 2] = ["--delete", "--yes"];

fn names(root: &Path) -> Vec<String> {
    tree::of(root).into_keys().filter(|name| !name.is_empty()).collect()
}

/// A database in WAL mode, whose last commit is in the WAL alone while the connection is open.
fn database(path: &Path) -> Connection {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    connection
}

fn backup(scene: &Scene, options: &[&str], input: Option<&[u8]>) -> Run {
    let source = scene.source.to_str().unwrap();
    let args = [&["--json", "backup"], options, &[source]].concat();
    run::finish(scene.command().args(args), input)
}

/// Restores all into one target, and the folder of the source into another, adds a file that is
/// extra to both, restores again with `options`, and gives what each then has of the source.
fn deleted(scene: &Scene, id: &str, options: &[&str]) -> [Vec<String>; 2] {
    let folder = format!("{id}:{}", scene.source.display());
    [id, &folder].map(|from| {
        let target = scene.fresh_target();
        scene.restore_into(from, &target, &[]).ok();
        let place = if from == id { below(&target, &scene.source) } else { target.clone() };
        make::file(&place, "data/extra", "x");
        scene.restore_into(from, &target, &[&DELETE, options].concat()).ok();
        names(&place)
    })
}

#[test]
fn a_database_that_is_a_source_of_its_own_stays_in_its_tree() {
    let scene = Scene::new();
    let path = scene.source.join("data/app.db");
    drop(database(&path));
    make::file(&scene.source, "data/file", "x");
    let id = backup(&scene, &["--sqlite", path.to_str().unwrap()], None).ok().snapshot_id();
    let wanted = ["/data", "/data/app.db", "/data/file"];
    assert_eq!(deleted(&scene, &id, &[]), [wanted; 2]);
    assert_eq!(deleted(&scene, &id, &["--source", "files"]), [wanted; 2]);
}

#[test]
fn a_stream_and_the_folders_its_name_tells_of_stay_in_a_tree() {
    let scene = Scene::new();
    make::file(&scene.source, "data/file", "x");
    let name = format!("{}/dumps/today/db.sql", scene.source.display());
    let options = ["--stdin", "--stdin-filename", &name];
    let id = backup(&scene, &options, Some(b"dump")).ok().snapshot_id();
    let wanted = ["/data", "/data/file", "/dumps", "/dumps/today", "/dumps/today/db.sql"];
    assert_eq!(deleted(&scene, &id, &[]), [wanted; 2]);
    assert_eq!(deleted(&scene, &id, &["--source", "files"]), [wanted; 2]);
}

#[test]
fn secrets_stay_in_a_tree() {
    let scene = Scene::new();
    make::file(&scene.source, "data/file", "x");
    let secret = make::file(&scene.source, "data/vault/token", "s3cret");
    let folder = secret.parent().unwrap().to_str().unwrap();
    let id = backup(&scene, &["--secrets", folder], None).ok().snapshot_id();
    let wanted = ["/data", "/data/file", "/data/vault", "/data/vault/token"];
    assert_eq!(deleted(&scene, &id, &[]), [wanted; 2]);
    assert_eq!(deleted(&scene, &id, &["--source", "files"]), [wanted; 2]);
}

/// Restores `id` over the source with [`DELETE`], which must be refused for `source`.
fn assert_refused(scene: &Scene, id: &str, key: &Path, source: &str) {
    let before = tree::of(&scene.source);
    let folder = format!("{id}:{}", scene.source.display());
    let over = scene.source.to_str().unwrap();
    for options in [&[][..], &["--source", "files"], &["-n"]] {
        let args = [&["restore", &folder, "--target", over], &DELETE[..], options].concat();
        let mut command = scene.locked_command();
        let run = run::finish(command.env("COFFER_KEY_FILE", key).args(args), None).fails_with(5);
        let errors = run.errors();
        assert!(errors.contains(source) && errors.contains("without --delete"), "{errors}");
    }
    assert_eq!(tree::of(&scene.source), before);
}

#[test]
fn nothing_is_deleted_beside_secrets_that_the_key_may_not_read() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let secret = make::file(&scene.source, "token", "s3cret");
    let secret = secret.to_str().unwrap();
    let id = backup(&scene, &["--secrets", secret], None).ok().snapshot_id();
    let key = scene.path("key-without-secrets");
    scene.coffer(["key", "add", "--no-secrets", "--new-key-file", key.to_str().unwrap()]).ok();
    assert_refused(&scene, &id, &key, "secrets");
}

#[test]
fn nothing_is_deleted_beside_a_source_that_failed() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let path = make::file(&scene.source, "app.db", "no database");
    let run = backup(&scene, &["--sqlite", path.to_str().unwrap()], None).fails_with(3);
    assert_refused(&scene, &run.snapshot_id(), &scene.key, "app.db");
}

/// A source with a database in use, whose snapshot is older than what is in the WAL.
fn in_use() -> (Scene, String, PathBuf, Connection) {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = database(&path);
    let id = scene.backup();
    connection.execute_batch("CREATE TABLE late (x)").unwrap();
    make::file(&scene.source, "extra", "x");
    (scene, id, path, connection)
}

#[test]
fn the_journals_of_a_database_that_stays_as_it_is_stay() {
    for (options, code) in [(&[][..], 3), (&["--overwrite", "never"], 0)] {
        let (scene, id, path, connection) = in_use();
        let wal = fs::read(scene.source.join("app.db-wal")).unwrap();
        let from = format!("{id}:{}", scene.source.display());
        let all = [&DELETE, options].concat();
        let run = scene.restore_into(&from, &scene.source, &all);
        assert_eq!(run.code, Some(code), "{}", run.errors());
        assert_eq!(names(&scene.source), ["/app.db", "/app.db-shm", "/app.db-wal"]);
        assert!(fs::read(scene.source.join("app.db-wal")).unwrap() == wal);
        drop(connection);
        let again = Connection::open(&path).unwrap();
        again.prepare("SELECT * FROM late").expect("the commit in the WAL is there");
    }
}

#[test]
fn journals_go_with_the_database_they_belong_to_and_not_before() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let id = scene.backup();
    let from = format!("{id}:{}", scene.source.display());
    let over = |options: &[&str]| {
        for name in ["old/a.db", "b.db"] {
            for end in ["", "-journal", "-shm", "-wal"] {
                make::file(&scene.source, format!("{name}{end}"), "x");
            }
        }
        make::file(&scene.source, "gone.db-wal", "x");
        scene.restore_into(&from, &scene.source, &[&DELETE, options].concat()).ok();
        names(&scene.source)
    };
    let wanted = [
        "/b.db",
        "/b.db-journal",
        "/b.db-shm",
        "/b.db-wal",
        "/file",
        "/old",
        "/old/a.db",
        "/old/a.db-journal",
        "/old/a.db-shm",
        "/old/a.db-wal",
    ];
    assert_eq!(over(&["--exclude", "*.db"]), wanted);
    assert_eq!(over(&[]), ["/file"]);
}

#[test]
fn the_repository_is_no_target_to_delete_in_and_the_key_file_stays() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let id = scene.backup();
    let from = format!("{id}:{}", scene.source.display());
    let before = tree::of(&scene.repo);
    fs::create_dir_all(scene.repo.join("packs")).unwrap();
    for target in [scene.repo.clone(), scene.repo.join("packs"), scene.state.clone()] {
        let run = scene.restore_into(&from, &target, &DELETE).fails_with(5);
        assert!(run.errors().contains("into another folder"), "{}", run.errors());
    }
    assert_eq!(tree::of(&scene.repo).len(), before.len());
    let target = scene.fresh_target();
    let key = make::file(&target, "keys/key", fs::read(&scene.key).unwrap());
    make::file(&target, "keys/extra", "x");
    let args = ["restore", &from, "--target", target.to_str().unwrap()];
    let mut command = scene.locked_command();
    command.env("COFFER_KEY_FILE", &key).args(args).args(DELETE);
    run::finish(&mut command, None).ok();
    assert_eq!(names(&target), ["/file", "/keys", "/keys/key"]);
}

#[test]
fn a_repository_that_was_moved_into_a_folder_of_the_snapshot_stays() {
    let scene = Scene::new();
    make::file(&scene.source, "backups/old", "x");
    let id = scene.backup();
    let moved = scene.source.join("backups");
    fs::remove_dir_all(&moved).unwrap();
    fs::rename(&scene.repo, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &scene.repo).unwrap();
    make::file(&scene.source, "extra", "x");
    let before = tree::of(&moved);
    let from = format!("{id}:{}", scene.source.display());
    scene.restore_into(&from, &scene.source, &DELETE).ok();
    assert!(!scene.source.join("extra").exists());
    assert!(before.keys().all(|name| tree::of(&moved).contains_key(name)));
    assert_eq!(scene.listed(), [id]);
}
