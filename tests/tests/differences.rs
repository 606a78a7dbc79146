//! Changed chunks stored as differences: small, and as good as any other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::harm::support::{Picture, Site, backup_arguments, objects, overwrite, table};

/// A database in WAL mode that an application holds open, of about 10 MB.
fn database(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, key TEXT, amount INTEGER, body TEXT);
        CREATE INDEX by_key ON t (key);
        CREATE INDEX by_amount ON t (amount);
        INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
            SELECT i, hex(randomblob(8)), abs(random()) % 1000000, 'some words of row ' || i FROM n";
    database.execute_batch(sql).unwrap();
    database
}

/// Changes 60 rows anywhere and adds 20.
fn change(database: &Connection) {
    let sql = "UPDATE t SET amount = abs(random()) % 1000000, body = body || ' more'
            WHERE id IN (SELECT 1 + abs(random()) % 60000 FROM t LIMIT 60);
        INSERT INTO t (key, amount, body) SELECT hex(randomblob(8)), 1, 'new' FROM t LIMIT 20";
    database.execute_batch(sql).unwrap();
}

/// Every row, in the order of its key.
fn rows(path: &Path) -> Vec<(i64, String, i64, String)> {
    let database = Connection::open(path).unwrap();
    let mut statement = database.prepare("SELECT * FROM t ORDER BY id").unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

fn stored(site: &Site) -> usize {
    objects(&site.repo).values().map(Vec::len).sum()
}

fn packs(site: &Site) -> BTreeSet<String> {
    objects(&site.repo).into_keys().filter(|name| name.starts_with("packs/")).collect()
}

#[test]
fn twelve_rounds_of_a_live_database_cost_less_than_one_copy_and_all_restore() {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    let path = tree.join("app.db");
    let database = database(&path);
    let mut rounds = Vec::new();
    rounds.push((site.backup(&tree), rows(&path)));
    let first = stored(&site);
    for _ in 0..12 {
        change(&database);
        rounds.push((site.backup(&tree), rows(&path)));
    }
    let added = stored(&site) - first;
    assert!(added < first, "{added} bytes were added to {first}");
    site.stranger(&["verify"]).expect(0);
    site.stranger(&["check"]).expect(0);
    for (id, wanted) in rounds {
        let target = site.folder();
        let words = ["restore", &id, "--target", target.to_str().unwrap()];
        site.stranger(&words).expect(0);
        let below = target.join(path.strip_prefix("/").unwrap());
        assert!(rows(&below) == wanted, "{id}");
    }
}

fn site_with_a_table() -> (Site, PathBuf) {
    let site = Site::new();
    let tree = site.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("table"), table(1)).unwrap();
    (site, tree)
}

#[test]
fn what_is_stored_full_on_request_needs_nothing_older() {
    let (site, tree) = site_with_a_table();
    site.backup(&tree);
    let before = packs(&site);
    fs::write(tree.join("table"), table(2)).unwrap();
    let words = [&backup_arguments(&tree)[..], &["--no-delta"]].concat();
    let id = site.home(&words).expect(0).snapshot_id().unwrap();
    for pack in before {
        fs::remove_file(site.repo.join(pack)).unwrap();
    }
    site.assert_restores(&id, &tree, &Picture::of(&tree));
}

#[test]
fn damage_to_a_base_names_every_snapshot_that_needs_it_and_no_other() {
    let (site, tree) = site_with_a_table();
    let first = site.backup(&tree);
    // The manifest is needed by the first snapshot alone; the data stands in the longest pack.
    let before = objects(&site.repo).into_iter().filter(|(name, _)| name.starts_with("packs/"));
    let (data, _) = before.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    fs::write(tree.join("table"), table(2)).unwrap();
    let second = site.backup(&tree);
    let words = [&backup_arguments(&tree)[..], &["--no-delta", "--force"]].concat();
    fs::write(tree.join("table"), table(50)).unwrap();
    let third = site.home(&words).expect(0).snapshot_id().unwrap();
    let mut bytes = fs::read(site.repo.join(&data)).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    overwrite(&site.repo, &data, &bytes);
    let found = site.stranger(&["verify"]).expect(4);
    assert!(found.err.contains(&first) && found.err.contains(&second), "{}", found.err);
    assert!(!found.err.contains(&third), "{}", found.err);
    let (restored, _) = site.restore(&second, &tree);
    assert_ne!(restored.code, Some(0), "{}", restored.out);
    site.assert_restores(&third, &tree, &Picture::of(&tree));
}
