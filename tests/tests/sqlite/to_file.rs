//! One database of a snapshot to one file.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::app;
use crate::harm::support::{objects, overwrite};
use crate::support::{Run, Scene, is_root, make, tree};

/// A snapshot of databases and a plain file.
struct Stage {
    scene: Scene,
    id: String,
    /// Holds what is restored; empty.
    folder: PathBuf,
}

fn stage(databases: &[&str], options: &[&str]) -> Stage {
    let scene = Scene::new();
    make::file(&scene.source, "plain", "plain");
    for name in databases {
        fs::create_dir_all(scene.source.join(name).parent().unwrap()).unwrap();
        drop(app::create(&scene.source.join(name), "wal", 100_000));
    }
    Stage::of(scene, options)
}

impl Stage {
    fn of(scene: Scene, options: &[&str]) -> Self {
        let id = scene.try_backup(options).ok().snapshot_id();
        let folder = scene.path("elsewhere");
        fs::create_dir(&folder).unwrap();
        Self { scene, id, folder }
    }

    /// Restores `name` below the source folder; of an empty name the whole snapshot is given.
    fn restore(&self, name: &str, file: &Path, options: &[&str]) -> Run {
        let from = match name {
            "" => self.id.clone(),
            name => format!("{}:{}", self.id, self.source(name).display()),
        };
        let args = ["restore", &from, "--to-sqlite", file.to_str().unwrap()];
        self.scene.coffer(args.iter().chain(options))
    }

    fn source(&self, name: &str) -> PathBuf {
        self.scene.source.join(name)
    }

    /// Expects a refusal that leaves the folder as it is.
    #[track_caller]
    fn refuses(&self, code: i32, name: &str, file: &Path, options: &[&str]) -> String {
        let before = tree::of(&self.folder);
        let run = self.restore(name, file, options).fails_with(code);
        assert!(run.stdout.is_empty(), "{}", run.text());
        assert!(tree::of(&self.folder) == before, "{}", run.errors());
        run.errors()
    }
}

fn has_table(path: &Path, name: &str) -> bool {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    let connection = Connection::open(path).unwrap();
    connection.query_row(sql, [name], |row| row.get::<_, i64>(0)).unwrap() == 1
}

/// A database whose table `late` is in its WAL alone, as a crash leaves it.
fn crashed(path: &Path) {
    let kept = path.with_extension("kept");
    let connection = app::create(path, "wal", 100_000);
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection.execute_batch("CREATE TABLE late (x); INSERT INTO late VALUES (1)").unwrap();
    let wal = path.with_file_name(format!("{}-wal", path.file_name().unwrap().to_str().unwrap()));
    fs::copy(path, &kept).unwrap();
    let bytes = fs::read(&wal).unwrap();
    drop(connection);
    fs::rename(kept, path).unwrap();
    fs::write(&wal, bytes).unwrap();
    let probe = tempfile::tempdir().unwrap();
    for file in [path, &wal] {
        fs::copy(file, probe.path().join(file.file_name().unwrap())).unwrap();
    }
    assert!(has_table(&probe.path().join(path.file_name().unwrap()), "late"), "an empty WAL");
}

#[test]
fn a_database_goes_to_another_name_in_a_folder_that_need_not_exist() {
    let stage = stage(&["a.db", "deep/b.db"], &[]);
    let folder = &stage.folder;
    for place in ["one", "new/deep/two.sqlite"] {
        let place = folder.join(place);
        let run = stage.restore("deep/b.db", &place, &["--verify"]).ok();
        assert!(run.text().contains("verified 1 entry, 0 different"), "{}", run.text());
        assert!(run.text().contains("restored 1 file, 0 folders"), "{}", run.text());
        assert!(run.stderr.is_empty(), "{}", run.errors());
        assert_eq!(fs::read(&place).unwrap(), fs::read(stage.source("deep/b.db")).unwrap());
        assert_eq!(app::turn_of(&place), 0);
    }
    let mut run = stage.scene.command();
    run.current_dir(folder).args(["--json", "restore", &format!("{}:", stage.id)]);
    run.args(["--to-sqlite", "three", "--source", "files"]);
    crate::support::run::finish(&mut run, None).fails_with(2);
    assert!(!folder.join("three").exists());
    let from = format!("{}:{}", stage.id, stage.source("a.db").display());
    let mut run = stage.scene.command();
    run.current_dir(folder).args(["--json", "restore", &from, "--to-sqlite", "three"]);
    let summary = crate::support::run::finish(&mut run, None).ok().summary();
    assert_eq!(summary["files_restored"], 1);
    assert_eq!(app::turn_of(&folder.join("three")), 0);
}

#[test]
fn a_rehearsal_writes_nothing() {
    let stage = stage(&["a.db"], &[]);
    let folder = &stage.folder;
    let run = stage.restore("a.db", &folder.join("new/x"), &["-n", "-v"]).ok();
    assert!(run.text().contains("would restore 1 file"), "{}", run.text());
    assert!(!folder.join("new").exists());
    let taken = make::file(folder, "taken", "mine");
    stage.restore("a.db", &taken, &["-n"]).ok();
    assert_eq!(fs::read(taken).unwrap(), b"mine");
}

#[test]
fn a_file_is_replaced_only_after_a_yes_and_its_wal_goes_with_it() {
    let stage = stage(&["a.db"], &[]);
    let place = stage.folder.join("old.db");
    crashed(&place);
    let told = stage.refuses(5, "a.db", &place, &[]);
    assert!(told.contains("old.db exists") && told.contains("--yes"), "{told}");
    stage.restore("a.db", &place, &["--yes", "--verify"]).ok();
    for end in ["-wal", "-shm", "-journal"] {
        assert!(!place.with_file_name(format!("old.db{end}")).exists(), "{end}");
    }
    assert!(!has_table(&place, "late"), "the stale WAL was played in");
    assert_eq!(app::turn_of(&place), 0);
    // Whatever it is: also what is no database, and what is equal.
    let note = make::file(&stage.folder, "note", "mine");
    stage.refuses(5, "a.db", &note, &[]);
    stage.restore("a.db", &note, &["--yes"]).ok();
    stage.refuses(5, "a.db", &note, &[]);
    assert_eq!(app::turn_of(&note), 0);
}

#[test]
fn a_wal_without_its_database_is_not_played_in() {
    let stage = stage(&["a.db"], &[]);
    let place = stage.folder.join("old.db");
    crashed(&place);
    fs::remove_file(&place).unwrap();
    for options in [&[][..], &["--yes"]] {
        let told = stage.refuses(5, "a.db", &place, options);
        assert!(told.contains("old.db-wal may hold commits of a database"), "{told}");
        assert!(told.contains("--force"), "{told}");
    }
    stage.restore("a.db", &place, &["-n"]).ok();
    stage.restore("a.db", &place, &["--force"]).ok();
    assert!(!has_table(&place, "late"), "the stale WAL was played in");
    // Nothing is lost with an empty one.
    let place = stage.folder.join("other.db");
    make::file(&stage.folder, "other.db-journal", "");
    stage.restore("a.db", &place, &[]).ok();
    assert!(!stage.folder.join("other.db-journal").exists());
}

#[test]
fn a_database_in_use_is_refused_unless_forced() {
    let stage = stage(&["a.db"], &[]);
    let place = stage.folder.join("live.db");
    let live = app::create(&place, "wal", 100_000);
    live.execute_batch("CREATE TABLE late (x)").unwrap();
    let told = stage.refuses(5, "a.db", &place, &["--yes"]);
    assert!(told.contains("live.db: the database is in use by process"), "{told}");
    assert!(told.contains("--force"), "{told}");
    assert!(has_table(&place, "late"));
    stage.restore("a.db", &place, &["--yes", "--force"]).ok();
    assert!(!has_table(&place, "late"));
    drop(live);
}

#[test]
fn what_is_no_database_is_refused_by_name() {
    let stage = stage(&["deep/a.db"], &[]);
    let place = stage.folder.join("new");
    let told = stage.refuses(2, "plain", &place, &[]);
    assert!(told.contains("/plain is not stored as a SQLite database"), "{told}");
    assert!(told.contains("--target"), "{told}");
    let told = stage.refuses(2, "deep", &place, &[]);
    assert!(told.contains("deep is not stored") && told.contains("deep/a.db"), "{told}");
    let told = stage.refuses(1, "none", &place, &[]);
    assert!(told.contains("none is not in snapshot"), "{told}");
    let id = stage.scene.try_backup(&["--no-sqlite"]).ok().snapshot_id();
    let plain = Stage { id, ..stage };
    plain.refuses(2, "deep/a.db", &place, &[]);
    let told = plain.refuses(1, "", &place, &[]);
    assert!(told.contains("holds no SQLite database"), "{told}");
}

#[test]
fn without_a_path_the_only_database_is_found() {
    let stage = stage(&["deep/a.db"], &[]);
    let place = stage.folder.join("new");
    let run = stage.restore("", &place, &[]).ok();
    assert!(run.errors().contains("deep/a.db"), "{}", run.errors());
    assert_eq!(app::turn_of(&place), 0);
}

#[test]
fn several_databases_are_listed_to_choose_from() {
    let names: Vec<String> = (10..22).map(|number| format!("{number}.db")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let several = stage(&names[..3], &[]);
    let place = several.folder.join("new");
    let told = several.refuses(2, "", &place, &[]);
    assert!(told.contains("there are 3 SQLite databases: "), "{told}");
    assert!(names[..3].iter().all(|name| told.contains(name)), "{told}");
    assert!(told.contains("SNAP:PATH"), "{told}");
    let many = stage(&names, &[]);
    let told = many.refuses(2, "", &many.folder.join("new"), &[]);
    assert!(told.contains("more than 10"), "{told}");
    assert!(names[..10].iter().all(|name| told.contains(name)), "{told}");
    assert!(!names[10..].iter().any(|name| told.contains(name)), "{told}");
}

#[test]
fn a_source_chooses_its_database() {
    let scene = Scene::new();
    for name in ["a.db", "b.db"] {
        drop(app::create(&scene.source.join(name), "wal", 100_000));
    }
    let named = scene.source.join("a.db").display().to_string();
    let stage = Stage::of(scene, &["--sqlite", &named]);
    let place = stage.folder.join("new");
    stage.refuses(2, "", &place, &[]);
    for (source, name) in [(&named[..], "a.db"), ("files", "b.db")] {
        stage.restore("", &place, &["--source", source, "--yes"]).ok();
        assert_eq!(fs::read(&place).unwrap(), fs::read(stage.source(name)).unwrap(), "{source}");
    }
    stage.refuses(1, "b.db", &place, &["--source", &named, "--yes"]);
    let told = stage.refuses(1, "", &place, &["--source", "none", "--yes"]);
    assert!(told.contains("no source none"), "{told}");
}

#[test]
fn mode_and_owner_are_the_snapshots() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "a.db", "");
    make::mode(&path, 0o640);
    drop(app::create(&path, "delete", 100_000));
    if is_root() {
        std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
    }
    let stage = Stage::of(scene, &[]);
    let facts = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.mode(), meta.uid(), meta.gid(), meta.mtime())
    };
    let place = stage.folder.join("new");
    stage.restore("a.db", &place, &["--verify"]).ok();
    assert_eq!(facts(&place), facts(&path));
    let place = make::file(&stage.folder, "taken", "mine");
    make::mode(&place, 0o604);
    stage.restore("a.db", &place, &["--yes", "--verify"]).ok();
    assert_eq!(facts(&place), facts(&path));
    let place = stage.folder.join("own");
    stage.restore("a.db", &place, &["--no-owner"]).ok();
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!((facts(&place).1, facts(&place).2), own);
}

#[test]
fn a_place_that_is_no_file_is_refused_by_name() {
    let stage = stage(&["a.db"], &[]);
    let folder = &stage.folder;
    make::file(folder, "folder/inside", "x");
    let link = folder.join("link");
    symlink(make::file(folder, "file", "x"), &link).unwrap();
    for (place, what) in [
        (folder.join("folder"), "folder is a folder"),
        (folder.join("new/"), "is a folder"),
        (link, "link is a symbolic link"),
        ("/dev/null".into(), "/dev/null is no file"),
        (folder.join("file/x"), "file/x: Not a directory"),
    ] {
        let run = stage.restore("a.db", &place, &["--yes"]).fails_with(2);
        assert!(run.errors().contains(what), "{}", run.errors());
    }
    let left: Vec<String> = tree::of(folder).into_keys().collect();
    assert_eq!(left, ["", "/file", "/folder", "/folder/inside", "/link"]);
}

#[test]
fn what_coffer_itself_needs_is_not_overwritten() {
    let stage = stage(&["a.db"], &[]);
    let scene = &stage.scene;
    let config = fs::read_dir(&scene.repo).unwrap().map(|entry| entry.unwrap().path());
    let config = config.into_iter().find(|path| path.is_file()).unwrap();
    let places = [
        config,
        scene.key.clone(),
        scene.repo.join("new/deep/x.db"),
        scene.cache.join("x.db"),
        scene.state.join("x.db"),
    ];
    for place in places {
        for options in [&["--yes"][..], &["-n"]] {
            let told = stage.refuses(5, "a.db", &place, options);
            assert!(told.contains("which Coffer itself needs"), "{told}");
        }
    }
    scene.coffer(["verify"]).ok();
    for folder in [&scene.repo, &scene.cache, &scene.state] {
        assert!(!folder.join("new").exists() && !folder.join("x.db").exists());
    }
}

#[test]
fn a_database_that_is_damaged_in_the_repository_replaces_nothing() {
    let stage = stage(&["a.db"], &[]);
    let repo = &stage.scene.repo;
    let packs = objects(repo).into_iter().filter(|(name, _)| name.starts_with("packs/"));
    let (name, mut bytes) = packs.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    overwrite(repo, &name, &bytes);
    let place = make::file(&stage.folder, "taken", "mine");
    let told = stage.refuses(4, "a.db", &place, &["--yes", "-q"]);
    assert!(told.contains("the database is not restored"), "{told}");
    assert!(told.contains("/a.db: "), "{told}");
    assert_eq!(fs::read(place).unwrap(), b"mine");
}
