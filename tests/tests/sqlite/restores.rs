//! Restores of databases over older ones.

use std::fs;

use rusqlite::Connection;

use super::app;
use crate::support::{Scene, make};

/// A database with its backup, and then a table `late` whose commit is in the WAL alone.
struct Stage {
    scene: Scene,
    snapshot: String,
    late: Connection,
}

fn stage(journal_mode: &str) -> Stage {
    let scene = Scene::new();
    let late = app::create(&scene.source.join("app.db"), journal_mode, 300_000);
    late.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let run = scene.coffer(["--json", "backup", scene.source.to_str().unwrap()]).ok();
    late.execute_batch("CREATE TABLE late (x); INSERT INTO late VALUES (1)").unwrap();
    Stage { snapshot: run.snapshot_id(), scene, late }
}

impl Stage {
    fn restore(&self, options: &[&str]) -> crate::support::run::Run {
        let from = format!("{}:{}", self.snapshot, self.scene.source.display());
        self.scene.restore_into(&from, &self.scene.source, options)
    }

    fn has_late(&self) -> bool {
        let connection = Connection::open(self.scene.source.join("app.db")).unwrap();
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'late'";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1
    }
}

#[test]
fn files_of_an_older_database_are_removed() {
    for mode in ["always", "if-changed"] {
        let Stage { scene, snapshot, late } = stage("wal");
        // The application dies: its WAL stays, as a crash leaves it.
        let wal = fs::read(scene.source.join("app.db-wal")).unwrap();
        assert!(!wal.is_empty());
        let kept = scene.source.join("app.db-wal.kept");
        fs::copy(scene.source.join("app.db-wal"), &kept).unwrap();
        drop(late);
        let main = scene.source.join("app.db");
        let from = format!("{snapshot}:{}", scene.source.display());
        scene.restore_into(&from, &scene.source, &["--overwrite", mode]).ok();
        // Once more, with the same bytes and the stale WAL beside them.
        fs::copy(&kept, scene.source.join("app.db-wal")).unwrap();
        make::file(&scene.source, "app.db-journal", "stale");
        let before = fs::metadata(&main).unwrap().len();
        scene.restore_into(&from, &scene.source, &["--overwrite", mode]).ok();
        assert_eq!(fs::metadata(&main).unwrap().len(), before);
        for end in ["-wal", "-shm", "-journal"] {
            assert!(!scene.source.join(format!("app.db{end}")).exists(), "{end}");
        }
        let late = Connection::open(&main).unwrap();
        assert!(late.prepare("SELECT * FROM late").is_err(), "the stale WAL was played in");
        drop(late);
        assert_eq!(app::turn_of(&main), 0);
    }
}

#[test]
fn a_database_stored_as_a_plain_file_does_not_meet_the_wal_of_a_later_state() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "wal", 300_000));
    let run = scene.try_backup(&["--no-sqlite"]).ok();
    // A crash leaves a commit in the WAL alone.
    let late = Connection::open(&path).unwrap();
    late.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    late.execute_batch("CREATE TABLE late (x)").unwrap();
    let files = ["", "-wal"].map(|end| scene.source.join(format!("app.db{end}")));
    let bytes = files.each_ref().map(|file| fs::read(file).unwrap());
    drop(late);
    let has_late = || Connection::open(&path).unwrap().prepare("SELECT * FROM late").is_ok();
    let crash = || {
        files.iter().zip(&bytes).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
        let _ = fs::remove_file(scene.source.join("app.db-shm"));
    };
    crash();
    assert!(has_late(), "the test loses the commit");
    crash();
    let from = format!("{}:{}", run.snapshot_id(), scene.source.display());
    let told = scene.restore_into(&from, &scene.source, &["--verify"]).ok();
    assert!(told.text().contains(", 0 different"), "{}", told.text());
    assert!(!files[1].exists());
    assert!(!has_late(), "the stale WAL was played in");
}

#[test]
fn a_database_in_use_is_refused_unless_forced() {
    for journal_mode in ["wal", "delete"] {
        let stage = stage(journal_mode);
        let run = stage.restore(&[]).fails_with(3);
        assert!(run.errors().contains("in use by process"), "{}", run.errors());
        assert!(run.errors().contains("--force"), "{}", run.errors());
        assert!(stage.has_late());
        let again = stage.restore(&["--overwrite", "never"]).ok();
        assert!(stage.has_late(), "{}", again.errors());
        stage.restore(&["--force"]).ok();
        assert!(!stage.has_late());
        drop(stage.late);
    }
}

#[test]
fn a_database_keeps_its_mode_and_facts() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "app.db", "");
    make::mode(&path, 0o640);
    drop(app::create(&path, "wal", 100_000));
    let source = scene.source.to_str().unwrap();
    let run = scene.coffer(["--json", "backup", "--sqlite", path.to_str().unwrap(), source]).ok();
    let restored = scene.restored(&run.snapshot_id()).join("app.db");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&restored).unwrap().permissions().mode() & 0o7777, 0o640);
    let connection = Connection::open(&restored).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}
