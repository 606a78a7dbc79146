//! What is measured of databases when they are captured.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use super::app;
use crate::support::{Scene, make};

/// The facts of the newest snapshot's source that is the database at `path`.
fn facts(scene: &Scene, path: &Path) -> Value {
    let line = scene.coffer(["--json", "ls", "--facts", "latest"]).ok().json()[0].clone();
    let sources = line["sources"].as_array().unwrap();
    let is_it = |source: &&Value| source["name"] == path.to_str().unwrap();
    sources.iter().find(is_it).unwrap()["facts"].clone()
}

fn backup(scene: &Scene, path: &Path, options: &[&str]) -> Value {
    let args = [&["backup", "--sqlite", path.to_str().unwrap()], options].concat();
    scene.coffer(args).ok();
    facts(scene, path)
}

#[test]
fn pages_and_tables_are_hashed_and_counted() {
    for mode in ["wal", "delete"] {
        let scene = Scene::new();
        let path = scene.source.join("app.db");
        let connection = app::create(&path, mode, 300_000);
        let odd = "CREATE TABLE \"odd = name\n%\" (\"rowid\", a TEXT);
                   INSERT INTO \"odd = name\n%\" VALUES (1, 'x'), (NULL, NULL), (2.5, x'00ff');
                   CREATE TABLE pairs (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;
                   INSERT INTO pairs VALUES (2, 1), (1, 2), (1, 1);
                   CREATE VIRTUAL TABLE words USING fts5(word);
                   INSERT INTO words VALUES ('one'), ('two');";
        connection.execute_batch(odd).unwrap();
        let found = backup(&scene, &path, &[]);
        assert_eq!((&found["quick_check"], &found["user_version"]), (&"ok".into(), &"42".into()));
        assert_eq!((&found["journal_mode"], &found["moment"]), (&mode.into(), &"its own".into()));
        assert_eq!(found.get("tables_unread"), None, "{found}");
        let rows = |table: &str| {
            let told = found[format!("table {table}")].as_str().unwrap();
            told.strip_prefix("rows=").unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!([rows("account"), rows("turn"), rows("pairs")], [500, 1, 3]);
        assert_eq!([rows("odd %3d name%0a%25"), rows("words_content")], [3, 2]);
        let restored = scene.restored("latest").join("app.db");
        let hash = blake3::hash(&fs::read(&restored).unwrap());
        assert_eq!(found["blake3"], hash.to_hex().as_str());
        drop(connection);
    }
}

#[test]
fn hashes_of_tables_hang_on_what_they_hold_and_on_nothing_else() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 300_000);
    let first = backup(&scene, &path, &[]);
    let of = |facts: &Value, name: &str| facts[name].as_str().unwrap().to_owned();
    // Other pages with the same rows.
    connection.execute_batch("CREATE INDEX more ON account (held); VACUUM").unwrap();
    let again = backup(&scene, &path, &[]);
    assert_ne!(of(&first, "blake3"), of(&again, "blake3"));
    assert_eq!(of(&first, "tables_blake3"), of(&again, "tables_blake3"));
    connection.execute_batch("UPDATE account SET held = held + 1 WHERE id = 7").unwrap();
    let changed = backup(&scene, &path, &[]);
    assert_ne!(of(&again, "tables_blake3"), of(&changed, "tables_blake3"));
    assert_eq!(of(&again, "table filling"), of(&changed, "table filling"));
    assert_ne!(of(&again, "table account"), of(&changed, "table account"));
}

#[test]
fn what_was_found_of_the_same_pages_is_not_measured_again() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "wal", 300_000);
    let first = backup(&scene, &path, &["--sqlite-check", "full"]);
    assert_eq!(first["integrity_check"], "ok");
    assert_eq!(first["foreign_key_check"], "ok");
    assert_eq!(first.get("quick_check"), None);
    // More was found than is asked for now.
    let again = backup(&scene, &path, &[]);
    assert_eq!((&again["integrity_check"], again.get("quick_check")), (&"ok".into(), None));
    assert_eq!(again["tables_blake3"], first["tables_blake3"]);
    let forced = backup(&scene, &path, &["--force"]);
    assert_eq!((&forced["quick_check"], forced.get("integrity_check")), (&"ok".into(), None));
    let full = backup(&scene, &path, &["--sqlite-check", "full"]);
    assert_eq!(full["integrity_check"], "ok");
    drop(connection);
}

#[test]
fn checks_and_tables_can_be_left_out() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "delete", 300_000));
    let found = backup(&scene, &path, &["--sqlite-check", "none", "--no-table-facts"]);
    for name in ["quick_check", "integrity_check", "tables", "rows", "tables_blake3"] {
        assert_eq!(found.get(name), None, "{found}");
    }
    let found = backup(&scene, &path, &[]);
    assert_eq!((&found["quick_check"], &found["tables"]), (&"ok".into(), &"3".into()));
}

#[test]
fn an_index_that_does_not_agree_with_its_table_is_found_by_the_full_check() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "delete", 300_000);
    // The index loses its rows: what SQLite is told of it is another's.
    let harm = "CREATE TABLE other (x); CREATE INDEX of_other ON other (x);
                PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET rootpage =
                  (SELECT rootpage FROM sqlite_schema WHERE name = 'of_other')
                  WHERE name = 'of_text';
                DELETE FROM sqlite_schema WHERE name IN ('other', 'of_other');
                PRAGMA writable_schema = OFF";
    connection.execute_batch(harm).unwrap();
    drop(connection);
    let args = ["backup", "--sqlite", path.to_str().unwrap(), "--sqlite-check", "full"];
    let run = scene.coffer(args).fails_with(3);
    assert!(run.errors().contains("the database is damaged"), "{}", run.errors());
}

#[test]
fn deleted_rows_are_not_in_a_backup_without_free_pages() {
    for mode in ["wal", "delete"] {
        let scene = Scene::new();
        let path = scene.source.join("app.db");
        let connection = app::create(&path, mode, 100_000);
        connection.pragma_update(None, "secure_delete", "off").unwrap();
        let letters = "CREATE TABLE letter (text);
                       WITH RECURSIVE n (number) AS
                         (SELECT 1 UNION ALL SELECT number + 1 FROM n LIMIT 3000)
                       INSERT INTO letter
                         SELECT 'in confidence ' || number || hex(zeroblob(3000)) FROM n;
                       DROP TABLE letter;";
        connection.execute_batch(letters).unwrap();
        let has_text = |options: &[&str]| {
            backup(&scene, &path, options);
            let restored = scene.restored("latest").join("app.db");
            assert_eq!(app::turn_of(&restored), 0);
            let bytes = fs::read(restored).unwrap();
            assert!(bytes.len() > 10_000_000);
            bytes.windows(13).any(|part| part == b"in confidence")
        };
        assert!(has_text(&[]), "the test deletes nothing");
        assert!(!has_text(&["--zero-free-pages"]));
        drop(connection);
    }
}

#[test]
fn pages_in_use_that_a_broken_list_calls_free_are_never_lost() {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    let connection = app::create(&path, "delete", 100_000);
    let rows = "CREATE TABLE gone (x); INSERT INTO gone SELECT zeroblob(3000) FROM filling; DROP TABLE gone";
    connection.execute_batch(rows).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'turn'";
    let used: u32 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(connection);
    // The first leaf of the first trunk of the list.
    let mut bytes = fs::read(&path).unwrap();
    let trunk = u32::from_be_bytes(bytes[32..36].try_into().unwrap()) as usize - 1;
    let leaf = trunk * 4096 + 8;
    bytes[leaf..leaf + 4].copy_from_slice(&used.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let args = ["backup", "--zero-free-pages", "--sqlite", path.to_str().unwrap()];
    let run = scene.coffer(args).fails_with(1);
    assert!(run.errors().contains("it is not sound"), "{}", run.errors());
    let unchecked = [&args[..], &["--sqlite-check", "none"]].concat();
    let run = scene.coffer(unchecked).fails_with(2);
    assert!(run.errors().contains("only a check shows that"), "{}", run.errors());
    assert!(scene.listed().is_empty());
}

#[test]
fn an_encrypted_database_is_told_apart() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "vault.db", make::noise(3, 8192));
    let wal = [&0x377f_0682_u32.to_be_bytes()[..], &make::noise(4, 4092)].concat();
    make::file(&scene.source, "vault.db-wal", wal);
    let run = scene.coffer(["backup", "--sqlite", path.to_str().unwrap()]).fails_with(1);
    assert!(run.errors().contains("an encrypted one"), "{}", run.errors());
    assert!(run.errors().contains("only its application can read"), "{}", run.errors());
    let run = scene.coffer(["backup", scene.source.to_str().unwrap()]).ok();
    assert!(run.errors().contains("vault.db: has a WAL, but is no database"), "{}", run.errors());
    assert!(scene.restored("latest").join("vault.db-wal").exists());
}

#[test]
fn facts_do_not_hang_on_how_the_database_is_held() {
    // The same bytes, once read under a lock and from an image, once in WAL mode.
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    drop(app::create(&path, "delete", 20_000_000));
    let kept = backup(&scene, &path, &[]);
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    let live = backup(&scene, &path, &[]);
    for name in ["rows", "tables", "tables_blake3", "page_count", "quick_check"] {
        assert_eq!(kept[name], live[name], "{name}");
    }
}

#[test]
fn what_was_measured_is_compared_after_a_restore() {
    for is_named in [false, true] {
        let scene = Scene::new();
        let path = scene.source.join("app.db");
        let connection = app::create(&path, "wal", 300_000);
        let source = scene.source.to_str().unwrap();
        let named = path.to_str().unwrap();
        let asked = if is_named { vec!["--sqlite", named] } else { vec![source] };
        let run = scene.coffer([&["--json", "backup"], &asked[..]].concat()).ok();
        let target = scene.fresh_target();
        let told = scene.restore_into(&run.snapshot_id(), &target, &["--verify"]).ok();
        assert!(told.text().contains(", 0 different"), "{}", told.text());
        assert!(!told.errors().contains("cannot measure"), "{}", told.errors());
        drop(connection);
    }
}
