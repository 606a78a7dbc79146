//! Databases of every form: what SQLite can put into one, and names, lengths, owners and media they have.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::app;
use super::hard::Disk;
use crate::support::run::{Run, finish};
use crate::support::{Scene, below, is_root, make, tree};

/// The byte whose page SQLite never uses: its locks are there.
const LOCK_AT: u64 = 1 << 30;
/// Owner of databases that are not ours.
const OTHER: u32 = 12_345;
/// Whoever may do the least.
pub const NOBODY: u32 = 65_534;

/// Everything a database says: the schema, and the rows of each table and view.
type Said = BTreeMap<String, Vec<Vec<Value>>>;

fn said_by(path: &Path) -> Said {
    let connection = Connection::open(path).unwrap();
    assert_eq!(one_of(&connection, "PRAGMA integrity_check"), Value::Text("ok".to_owned()));
    let schema = rows_of(&connection, "SELECT type, name, rootpage, sql FROM sqlite_schema");
    let mut said = Said::new();
    for row in &schema {
        if let [Value::Text(kind), Value::Text(name), ..] = &row[..]
            && (kind == "table" || kind == "view")
        {
            said.insert(name.clone(), rows_of(&connection, &format!("SELECT * FROM \"{name}\"")));
        }
    }
    for name in ["page_size", "encoding", "auto_vacuum", "freelist_count", "journal_mode"] {
        said.insert(format!("PRAGMA {name}"), rows_of(&connection, &format!("PRAGMA {name}")));
    }
    said.insert("sqlite_schema".to_owned(), schema);
    said
}

fn rows_of(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| (0..count).map(|at| row.get(at)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

fn one_of(connection: &Connection, sql: &str) -> Value {
    rows_of(connection, sql).remove(0).remove(0)
}

/// Expects the same bytes in two databases that nobody uses, and then the same said by both.
#[track_caller]
fn assert_same_database(wanted: &Path, found: &Path) {
    let content = |path| tree::of(path).remove("").map(|facts| (facts.size, facts.content));
    assert_eq!(content(wanted), content(found), "{}", wanted.display());
    let (wanted, found) = (said_by(wanted), said_by(found));
    assert!(wanted == found, "{wanted:?}\n{found:?}");
}

/// Backs the source folder up and restores it, without a word of trouble; where it is now.
#[track_caller]
fn round_trip(scene: &Scene, restore_options: &[&str]) -> PathBuf {
    let run = scene.try_backup(&[]).ok();
    assert_eq!(run.errors(), "");
    let target = scene.fresh_target();
    let restored = scene.restore_into(&run.snapshot_id(), &target, restore_options).ok();
    assert_eq!(restored.errors(), "");
    below(&target, &scene.source)
}

/// Puts a commit into the WAL alone.
fn late_commit(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection.execute_batch("CREATE TABLE late (x); INSERT INTO late VALUES ('late')").unwrap();
    assert!(fs::metadata(path.with_extension("db-wal")).unwrap().len() > 0);
    connection
}

/// Backs up what `sql` makes, closed and then with a commit in its WAL alone; the last restored.
#[track_caller]
fn check(sql: &str) -> (Scene, Connection) {
    let scene = Scene::new();
    let path = scene.source.join("app.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let restored = round_trip(&scene, &[]);
    assert_same_database(&path, &restored.join("app.db"));
    let live = late_commit(&path);
    let restored = round_trip(&scene, &[]);
    drop(live);
    assert_same_database(&path, &restored.join("app.db"));
    let restored = Connection::open(restored.join("app.db")).unwrap();
    assert_eq!(one_of(&restored, "SELECT x FROM late"), Value::Text("late".to_owned()));
    (scene, restored)
}

/// A table `number` of 2000 rows.
const NUMBERS: &str = "CREATE TABLE number (i INTEGER PRIMARY KEY, word TEXT);
    INSERT INTO number WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
        SELECT i, printf('word %d of ä line', i * 7919 % 2003) FROM n;";

#[test]
fn tables_of_every_kind_come_back() {
    let sql = "CREATE TABLE keyed (a TEXT, b BLOB, PRIMARY KEY (b, a)) WITHOUT ROWID;
        INSERT INTO keyed SELECT word, randomblob(i % 700) FROM number;
        CREATE TABLE strict (i INTEGER PRIMARY KEY AUTOINCREMENT, x ANY CHECK (x <> 0)) STRICT;
        INSERT INTO strict (x) VALUES (1), (2.5), ('text'), (x'00ff00'), (NULL), (9e999);
        DELETE FROM strict WHERE i = 6;
        CREATE TABLE made (i INT, half REAL AS (i / 2.0), text TEXT AS (i || 'ä') STORED);
        INSERT INTO made SELECT i FROM number;
        CREATE INDEX of_made ON made (half);
        CREATE TABLE long (x BLOB);
        INSERT INTO long VALUES (randomblob(300000)), (zeroblob(200000)), (x'');
        ANALYZE;";
    let (_scene, restored) = check(&format!("{NUMBERS}{sql}"));
    restored.execute("INSERT INTO strict (x) VALUES ('next')", []).unwrap();
    assert_eq!(restored.last_insert_rowid(), 7);
}

#[test]
fn virtual_tables_come_back() {
    let sql = "CREATE VIRTUAL TABLE five USING fts5 (word, tokenize = 'porter unicode61');
        INSERT INTO five SELECT word FROM number;
        DELETE FROM five WHERE rowid % 5 = 0;
        CREATE VIRTUAL TABLE outside USING fts5 (word, content = 'number', content_rowid = 'i');
        INSERT INTO outside (outside) VALUES ('rebuild');
        CREATE VIRTUAL TABLE four USING fts4 (word);
        INSERT INTO four SELECT word FROM number;
        CREATE VIRTUAL TABLE box USING rtree (id, left, right, +name TEXT);
        INSERT INTO box SELECT i, i, i + 0.5, word FROM number;";
    let (_scene, restored) = check(&format!("{NUMBERS}{sql}"));
    for (table, whole) in [("five", 1600), ("outside", 2000), ("four", 2000)] {
        let sql = format!("INSERT INTO {table} ({table}) VALUES ('integrity-check')");
        restored.execute_batch(&sql).unwrap();
        let sql = format!("SELECT count(*) FROM {table} WHERE {table} MATCH 'line'");
        assert_eq!(one_of(&restored, &sql), Value::Integer(whole), "{table}");
    }
    assert_eq!(one_of(&restored, "SELECT rtreecheck('box')"), Value::Text("ok".to_owned()));
    let sql = "SELECT count(*) FROM box WHERE left >= 100 AND right < 200";
    assert_eq!(one_of(&restored, sql), Value::Integer(100));
}

#[test]
fn triggers_views_and_indexes_of_a_part_come_back() {
    let sql = "CREATE TABLE log (what TEXT);
        CREATE TRIGGER told AFTER DELETE ON number BEGIN
            INSERT INTO log VALUES ('deleted ' || old.word);
        END;
        DELETE FROM number WHERE i <= 100;
        CREATE VIEW even AS SELECT i, upper(word) AS loud FROM number WHERE i % 2 = 0;
        CREATE TRIGGER through INSTEAD OF DELETE ON even BEGIN
            DELETE FROM number WHERE i = old.i;
        END;
        CREATE INDEX part ON number (word) WHERE i % 2 = 0;
        CREATE UNIQUE INDEX computed ON number (abs(i) + length(word), i DESC);
        CREATE TABLE child (of INTEGER REFERENCES number ON DELETE CASCADE);
        INSERT INTO child SELECT i FROM number;";
    let (_scene, restored) = check(&format!("{NUMBERS}{sql}"));
    restored.execute_batch("DELETE FROM even WHERE i BETWEEN 200 AND 399").unwrap();
    assert_eq!(one_of(&restored, "SELECT count(*) FROM log"), Value::Integer(200));
    assert_eq!(one_of(&restored, "SELECT count(*) FROM child"), Value::Integer(1800));
}

#[test]
fn the_shortest_and_longest_pages_and_every_encoding_come_back() {
    for (page_len, encoding) in [(512, "UTF-8"), (1024, "UTF-16le"), (65_536, "UTF-16be")] {
        let head = format!("PRAGMA page_size = {page_len}; PRAGMA encoding = '{encoding}';");
        let more = "CREATE INDEX of_word ON number (word);
            CREATE TABLE long (x); INSERT INTO long VALUES (randomblob(200000))";
        let (scene, restored) = check(&format!("{head}{NUMBERS}{more}"));
        assert_eq!(one_of(&restored, "PRAGMA page_size"), Value::Integer(page_len));
        assert_eq!(one_of(&restored, "PRAGMA encoding"), Value::Text(encoding.to_owned()));
        let facts = scene.coffer(["snapshots", "-v"]).ok().text();
        for fact in [format!("page_size={page_len} "), format!("encoding={encoding} ")] {
            assert!(facts.contains(&fact), "{facts}");
        }
    }
}

#[test]
fn free_pages_come_back_and_can_be_given_back() {
    for vacuum in ["INCREMENTAL", "FULL", "NONE"] {
        let sql = "DELETE FROM number WHERE i BETWEEN 300 AND 1700";
        let head = format!("PRAGMA page_size = 512; PRAGMA auto_vacuum = {vacuum};");
        let (_scene, restored) = check(&format!("{head}{NUMBERS}{sql}"));
        let free = one_of(&restored, "PRAGMA freelist_count");
        let Value::Integer(free) = free else { panic!("{free:?}") };
        assert_eq!(free > 50, vacuum != "FULL", "{free} pages are free");
        rows_of(&restored, "PRAGMA incremental_vacuum");
        let left = if vacuum == "NONE" { free } else { 0 };
        assert_eq!(one_of(&restored, "PRAGMA freelist_count"), Value::Integer(left));
        assert_eq!(one_of(&restored, "PRAGMA integrity_check"), Value::Text("ok".to_owned()));
    }
}

#[test]
fn a_database_without_a_byte_is_a_file_without_a_byte() {
    let scene = Scene::new();
    drop(Connection::open(make::file(&scene.source, "empty.db", "")).unwrap());
    make::file(&scene.source, "empty.db-journal", "a journal of nothing known");
    let restored = round_trip(&scene, &[]);
    crate::support::assert_same_tree(&scene.source, &restored);
    // One that was used, and is empty again.
    let path = scene.source.join("app.db");
    let sql = "CREATE TABLE t (x); DROP TABLE t; VACUUM";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    assert_same_database(&path, &round_trip(&scene, &[]).join("app.db"));
    let named = scene.source.join("empty.db");
    // Asked for by name too: alone, and at one moment with another.
    for others in [&[][..], &["--sqlite", path.to_str().unwrap()]] {
        let args = [&["--json", "backup", "--sqlite", named.to_str().unwrap()], others].concat();
        let run = scene.coffer(args).ok();
        assert_eq!(run.summary()["partial"], false);
        assert!(run.stderr.is_empty(), "{}", run.errors());
        let target = scene.fresh_target();
        let told = scene.restore_into(&run.snapshot_id(), &target, &["--verify"]).ok();
        assert!(told.text().contains(", 0 different"), "{}", told.text());
        assert_eq!(fs::read(below(&target, &named)).unwrap(), b"");
        let journal = fs::read(scene.source.join("empty.db-journal")).unwrap();
        assert_eq!(journal, b"a journal of nothing known");
    }
    let sql = "CREATE TABLE t (x)";
    fs::remove_file(scene.source.join("empty.db-journal")).unwrap();
    Connection::open(&named).unwrap().execute_batch(sql).unwrap();
    let run = scene.coffer(["--json", "backup", "--sqlite", named.to_str().unwrap()]).ok();
    let restored = scene.restored(&run.snapshot_id()).join("empty.db");
    assert_same_database(&named, &restored);
}

#[test]
fn databases_with_any_name_come_back() {
    const NAMES: [&[u8]; 13] = [
        b"line\nbreak.db",
        b"it's \"quoted\".db",
        b"100%41%00.db",
        b"#hash?mode=memory.db",
        b"file:app.db?mode=memory",
        b"-dash.db",
        b" ",
        b"\xff\xfe.db",
        b"star*[a].db",
        b"back\\slash.db",
        b"\x1b[31m.db",
        b"notes-journal",
        b"notes-wal-wal",
    ];
    let scene = Scene::new();
    let path = |name: &&[u8]| scene.source.join(make::raw(name));
    let live = NAMES.map(|name| app::create(&path(&name), "wal", 10_000));
    let of_tree = round_trip(&scene, &[]);
    let mut args = vec!["--json".into(), "backup".into()];
    for name in &NAMES {
        args.extend([make::raw(b"--sqlite").to_owned(), path(name).into()]);
    }
    let run = scene.coffer(args).ok();
    assert_eq!(run.errors(), "");
    drop(live);
    let named = scene.restored(&run.snapshot_id());
    for restored in [of_tree, named] {
        assert_eq!(fs::read_dir(&restored).unwrap().count(), NAMES.len());
        for name in &NAMES {
            assert_same_database(&path(name), &restored.join(make::raw(name)));
        }
    }
}

/// Makes a database of `len` bytes whose pages are free, and holes in its file, up to a little before
/// byte `at`: what is written then comes there, and goes on behind it.
fn create_long(path: &Path, page_len: u64, (at, len): (u64, u64)) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "page_size", page_len as i64).unwrap();
    connection.execute_batch("CREATE TABLE row (i INTEGER PRIMARY KEY, x BLOB)").unwrap();
    drop(connection);
    append_free_pages(path, page_len, at / page_len - 7, len / page_len);
    let mut connection = Connection::open(path).unwrap();
    let writing = connection.transaction().unwrap();
    for i in 0..400 {
        let text = make::noise(i, 1000 + usize::from(i == 200) * 1_000_000);
        writing.execute("INSERT INTO row VALUES (?1, ?2)", params![i as i64, text]).unwrap();
    }
    writing.commit().unwrap();
    let middle = at / page_len + 1;
    for side in ["<", ">"] {
        let sql =
            format!("SELECT count(*) FROM dbstat WHERE name = 'row' AND pageno {side} {middle}");
        let count = one_of(&connection, &sql);
        assert!(matches!(count, Value::Integer(count) if count > 1), "{side} {middle}: {count:?}");
    }
    connection
}

/// Writes SQLite's list of free pages; those from page `first` on are taken first.
fn append_free_pages(path: &Path, page_len: u64, first: u64, count: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let used = file.metadata().unwrap().len() / page_len;
    let is_free = |page: &u32| u64::from(*page) != LOCK_AT / page_len + 1;
    let pages = |range: std::ops::Range<u64>| -> Vec<u32> {
        range.map(|page| page.try_into().unwrap()).filter(is_free).collect()
    };
    // Each part is one page of the list, and those it names.
    let part_len = usize::try_from(page_len / 4 - 7).unwrap();
    let (ordinary, last) = (pages(used + 1..first), pages(first..count + 1));
    let (mut next, mut free_count) = (0, 0);
    for part in ordinary.chunks(part_len).chain(last.chunks(part_len)) {
        let head = [next, part.len() as u32 - 1];
        let words: Vec<u8> =
            head.iter().chain(&part[1..]).flat_map(|word| word.to_be_bytes()).collect();
        next = part[0];
        free_count += part.len() as u32;
        file.write_all_at(&words, u64::from(next - 1) * page_len).unwrap();
    }
    let header = [count as u32, next, free_count];
    file.write_all_at(&header.map(u32::to_be_bytes).concat(), 28).unwrap();
    file.set_len(count * page_len).unwrap();
}

#[track_caller]
fn check_long(page_len: u64, at: u64, is_live: bool) {
    // Reading a hole there fills no memory, and on a disk it fills the system's cache.
    let scene = Scene::in_memory();
    let path = scene.source.join("app.db");
    let len = at + (2 << 20);
    drop(create_long(&path, page_len, (at, len)));
    let live = is_live.then(|| late_commit(&path));
    let restored = round_trip(&scene, &["--sparse"]).join("app.db");
    drop(live);
    let meta = fs::metadata(&restored).unwrap();
    assert!(meta.len() == len && meta.blocks() * 512 < 64 << 20, "{meta:?}");
    assert_same_database(&path, &restored);
}

#[test]
fn the_page_that_sqlite_never_uses_is_passed_over() {
    check_long(65_536, LOCK_AT, false);
    check_long(4096, LOCK_AT, true);
}

#[test]
fn a_database_above_4_gib_comes_back() {
    check_long(65_536, 1 << 32, true);
}

fn own(path: &Path, mode: u32) {
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
    make::mode(path, mode);
}

/// Owner, group and mode of everything in a folder, and of itself.
fn owners(folder: &Path) -> BTreeMap<String, (u32, u32, u32)> {
    let facts = tree::of(folder).into_iter();
    facts.map(|(name, facts)| (name, (facts.owner.0, facts.owner.1, facts.mode))).collect()
}

#[test]
fn databases_of_others_stay_theirs() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let home = scene.source.join("home");
    fs::create_dir(&home).unwrap();
    for name in ["live.db", "idle.db", "old.db"] {
        let mode = if name == "old.db" { "delete" } else { "wal" };
        drop(app::create(&home.join(name), mode, 100_000));
        own(&home.join(name), 0o600);
    }
    own(&home, 0o700);
    let live = late_commit(&home.join("live.db"));
    let written = ["", "/live.db-wal", "/live.db-shm"].map(|name| owners(&home)[name]);
    assert_eq!(written, [(OTHER, OTHER, 0o700), (OTHER, OTHER, 0o600), (OTHER, OTHER, 0o600)]);
    let run = scene.try_backup(&[]).ok();
    let mut after = owners(&home);
    assert_eq!(after.remove(""), Some(written[0]));
    assert!(["/idle.db-wal", "/idle.db-shm"].iter().all(|name| after.contains_key(*name)));
    assert!(after.values().all(|owner| *owner == written[1]), "{after:?}");
    let restored = scene.restored(&run.snapshot_id()).join("home");
    let databases = ["/idle.db", "/live.db", "/old.db"].map(|name| (name.to_owned(), written[1]));
    let wanted = [(String::new(), written[0])].into_iter().chain(databases).collect();
    assert_eq!(owners(&restored), wanted);
    live.execute_batch("INSERT INTO late VALUES (2)").unwrap();
    drop(live);
    for name in ["live.db", "idle.db", "old.db"] {
        assert_eq!(app::turn_of(&restored.join(name)), 0);
    }
}

/// Runs the binary as a user who may do nothing; none where that user may not run it.
pub fn run_as_nobody(scene: &Scene, args: &[&str]) -> Option<Run> {
    let command = || {
        let mut command = scene.command();
        command.uid(NOBODY).gid(NOBODY);
        command
    };
    let may_run = command().arg("--version").output().is_ok_and(|output| output.status.success());
    may_run.then(|| finish(command().args(args), None))
}

#[test]
fn links_in_the_place_of_sidecars_are_not_followed() {
    for (end, code) in [("-wal", 3), ("-shm", 0), ("-journal", 3)] {
        let scene = Scene::new();
        let path = scene.source.join("app.db");
        drop(app::create(&path, if end == "-journal" { "delete" } else { "wal" }, 100_000));
        let elsewhere = make::file(&scene.path("elsewhere"), "file", "not ours");
        symlink(&elsewhere, scene.source.join(format!("app.db{end}"))).unwrap();
        let run = scene.try_backup(&[]);
        assert_eq!(run.code, Some(code), "{end}: {}", run.errors());
        assert_eq!(fs::read(&elsewhere).unwrap(), b"not ours", "{end}");
        let restored = scene.restored(&run.snapshot_id()).join("app.db");
        if code == 0 {
            // The link is stored as what it is.
            fs::remove_file(restored.with_extension("db-shm")).unwrap();
            assert_eq!(app::turn_of(&restored), 0);
        } else {
            assert!(run.errors().contains(path.to_str().unwrap()) && !restored.exists());
        }
    }
}

#[test]
fn a_database_that_may_not_be_read_is_told_and_the_rest_is_stored() {
    if !is_root() {
        return;
    }
    let scene = Scene::without_repository();
    // Its repository, key, cache and state are made by that user, and the source is not.
    chown(scene.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    let Some(init) = run_as_nobody(&scene, &["init"]) else { return };
    init.ok();
    let path = |name: &str| scene.source.join(name);
    let modes = [("secret.db", 0o600, 0o600), ("open.db", 0o644, 0o644), ("half.db", 0o644, 0o600)];
    let live = modes.map(|(name, mode, sidecar_mode)| {
        drop(app::create(&path(name), "wal", 100_000));
        let live = late_commit(&path(name));
        make::mode(&path(name), mode);
        for end in ["-wal", "-shm"] {
            make::mode(&path(&format!("{name}{end}")), sidecar_mode);
        }
        live
    });
    drop(app::create(&path("still.db"), "wal", 100_000));
    let args = ["--json", "backup", scene.source.to_str().unwrap()];
    let run = run_as_nobody(&scene, &args).unwrap().fails_with(3);
    for name in ["secret.db", "half.db"] {
        assert!(run.errors().contains(path(name).to_str().unwrap()), "{}", run.errors());
    }
    let restored = scene.restored(&run.snapshot_id());
    drop(live);
    for name in ["open.db", "still.db"] {
        assert_same_database(&path(name), &restored.join(name));
    }
    assert_eq!(fs::read_dir(&restored).unwrap().count(), 2);
}

#[test]
fn a_database_with_a_rollback_journal_is_read_where_nothing_can_be_written() {
    let scene = Scene::new();
    let folder = scene.source.join("disk");
    fs::create_dir(&folder).unwrap();
    let Some(disk) = Disk::mount(&folder) else { return };
    let copied = scene.path("copied");
    fs::create_dir(&copied).unwrap();
    const MODES: [&str; 3] = ["delete", "truncate", "persist"];
    for mode in MODES {
        drop(app::create(&folder.join(mode), mode, 300_000));
        fs::copy(folder.join(mode), copied.join(mode)).unwrap();
    }
    let journal_len = |mode| fs::metadata(folder.join(format!("{mode}-journal"))).unwrap().len();
    assert!(journal_len("truncate") == 0 && journal_len("persist") > 0);
    let live = app::create(&scene.path("live"), "delete", 3_000_000);
    let torn = "PRAGMA cache_size = 10; BEGIN; UPDATE filling SET text = text || 'torn'";
    live.execute_batch(torn).unwrap();
    for end in ["", "-journal"] {
        fs::copy(scene.path(&format!("live{end}")), folder.join(format!("torn{end}"))).unwrap();
    }
    disk.make_read_only();
    let run = scene.try_backup(&[]).fails_with(3);
    assert!(run.errors().contains("torn") && run.errors().contains("a transaction to roll back"));
    let restored = scene.restored(&run.snapshot_id()).join("disk");
    assert_eq!(fs::read_dir(&restored).unwrap().count(), MODES.len());
    for mode in MODES {
        assert_same_database(&copied.join(mode), &restored.join(mode));
    }
}
