use std::collections::HashSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use super::delta::{deltas, frames, newest_table};
use crate::backup::{BackupOptions, BackupSummary, SourceOptions, backup};
use crate::model::*;
use crate::observe::Silent;
use crate::pack;
use crate::repo::testing::*;
use crate::repo::{OldBytes, OldBytesFrom, Repository, parse_pack_name};
use crate::source::secrets::SecretsSource;
use crate::store::Store;

/// A repository that is dear to read, and a host with a cache.
pub(super) struct Far {
    pub fixture: Fixture,
    store: Arc<FarStore>,
    cache: tempfile::TempDir,
}

impl Far {
    pub fn new() -> Self {
        Self::of(Fixture::new())
    }

    pub fn of(mut fixture: Fixture) -> Self {
        let cache = tempfile::tempdir().unwrap();
        fixture.cache_dir = Some(cache.path().to_owned());
        let store = FarStore::new(fixture.memory.clone());
        Self { fixture, store, cache }
    }

    fn open(&self, seed: &str) -> Repository {
        self.fixture.try_open(self.store.clone(), seed).unwrap()
    }

    pub fn backup(&self, seed: &str, table: &Table) -> BackupSummary {
        self.backup_with(seed, table, self.fixture.tree())
    }

    pub fn backup_with(&self, seed: &str, table: &Table, options: BackupOptions) -> BackupSummary {
        self.fixture.file("table", &table.bytes());
        backup(&self.open(seed), options, &Silent).unwrap()
    }

    /// Where the cached old bytes are.
    fn shelf(&self) -> PathBuf {
        self.cache.path().join(self.fixture.open("id").id().to_string()).join("bases")
    }

    pub fn files(&self) -> Vec<PathBuf> {
        files(&self.shelf())
    }

    /// Data packs of the repository that were read in part since the last call.
    pub fn data_read(&self) -> HashSet<PackId> {
        let read = std::mem::take(&mut *self.store.read.lock().unwrap());
        let read: HashSet<PackId> = read.iter().filter_map(|name| parse_pack_name(name)).collect();
        let data: HashSet<PackId> = self.fixture.packs(Purpose::Data).into_iter().collect();
        read.intersection(&data).copied().collect()
    }

    pub fn delta_count(&self) -> usize {
        deltas(&self.fixture).0.len()
    }

    /// Asserts that every base has a full copy in a pack that is there.
    pub fn assert_bases_are_there(&self) {
        let there: HashSet<PackId> =
            self.fixture.names("packs/").iter().filter_map(|name| parse_pack_name(name)).collect();
        let frames: Vec<_> =
            frames(&self.fixture).into_iter().filter(|frame| there.contains(&frame.0)).collect();
        let full = frames.iter().filter(|frame| frame.1 == FrameKind::Full);
        let full: HashSet<ChunkId> = full.flat_map(|frame| frame.2.clone()).collect();
        assert!(frames.iter().flat_map(|frame| &frame.3).all(|base| full.contains(&base.id)));
    }
}

fn files(shelf: &FilePath) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(shelf) else { return Vec::new() };
    let mut files: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn bytes_of(files: &[PathBuf]) -> u64 {
    files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

/// The chunks of a cached file.
fn cached_ids(repo: &Repository, file: &FilePath) -> Vec<ChunkId> {
    let bytes = fs::read(file).unwrap();
    let id = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let read = |offset: u64, len: usize| Ok(bytes[offset as usize..][..len].to_vec());
    let info = pack::read_footer(repo.keyring(), id, bytes.len() as u64, &read).unwrap();
    info.footer.chunks.iter().map(|chunk| chunk.id).collect()
}

#[test]
fn increments_over_cached_bytes_are_as_small_and_read_no_data_of_the_repository() {
    let (far, near) = (Far::new(), Fixture::new());
    let mut table = Table::new(30_000);
    let mut contents = Vec::new();
    let (mut of_far, mut of_near) = (0, 0);
    for round in 0..8 {
        let name = format!("round {round}");
        contents.push(table.bytes());
        near.file("table", &table.bytes());
        let summaries = [far.backup(&name, &table), near.backup(&name)];
        if round > 0 {
            let [far, near] = summaries.map(|summary| summary.totals.data_stored);
            (of_far, of_near) = (of_far + far, of_near + near);
        }
        assert_eq!(far.data_read(), HashSet::new(), "round {round}");
        table.change();
    }
    assert!(of_far < of_near * 105 / 100, "{of_far} and {of_near} from the repository");
    assert!(far.delta_count() > 8);
    let snapshots = far.fixture.read_all().unwrap();
    assert!(snapshots.iter().map(|files| &files[0].1).eq(&contents));
    far.assert_bases_are_there();
    // Without a line to wait for, the repository itself is read, and nothing is kept.
    assert!(near.cache_dir.is_none());
}

#[test]
fn a_local_repository_is_read_itself_and_fills_no_cache_unless_that_is_asked_for() {
    let mut far = Far::new();
    far.store = FarStore::new(far.fixture.memory.clone());
    let mut table = Table::new(30_000);
    far.fixture.file("table", &table.bytes());
    far.fixture.backup("first");
    table.change();
    far.fixture.file("table", &table.bytes());
    far.fixture.backup("second");
    assert!(far.delta_count() > 0 && far.files().is_empty());
    let old_bytes = OldBytes { from: OldBytesFrom::Repository, ..OldBytes::default() };
    table.change();
    far.backup_with("third", &table, BackupOptions { old_bytes, ..far.fixture.tree() });
    assert!(!far.data_read().is_empty() && far.files().is_empty());
    let old_bytes = OldBytes { from: OldBytesFrom::Cache, ..OldBytes::default() };
    table.change();
    far.fixture.file("table", &table.bytes());
    let options = BackupOptions { old_bytes, ..far.fixture.tree() };
    backup(&far.fixture.open("fourth"), options, &Silent).unwrap();
    assert!(!far.files().is_empty());
    for (deltas, dry_run) in [(false, false), (true, true)] {
        let far = Far::new();
        let options = BackupOptions { deltas, dry_run, ..far.fixture.tree() };
        far.backup_with("one", &table, options);
        assert!(far.files().is_empty());
    }
}

#[test]
fn what_is_stored_already_is_kept_again_from_the_source_alone() {
    let far = Far::new();
    let mut table = Table::new(30_000);
    let first = far.backup("first", &table);
    fs::remove_dir_all(far.cache.path()).unwrap();
    let again =
        far.backup_with("again", &table, BackupOptions { force: true, ..far.fixture.tree() });
    assert_eq!(again.totals.data_added, 0);
    assert!(!far.files().is_empty());
    table.change();
    let next = far.backup("next", &table);
    assert!(next.totals.data_stored < first.totals.data_stored / 4);
    assert_eq!(far.data_read(), HashSet::new());
    assert!(newest_table(&far.fixture) == table.bytes());
}

#[test]
fn what_a_cold_cache_lacks_is_stored_full_and_kept() {
    let far = Far::new();
    let mut table = Table::new(30_000);
    let first = far.backup("first", &table);
    fs::remove_dir_all(far.cache.path()).unwrap();
    // Every chunk.
    for number in (0..30_000).step_by(100) {
        table.rows[number] = table.row(number);
    }
    let second = far.backup("second", &table);
    assert!(second.totals.data_stored > first.totals.data_stored * 3 / 4);
    table.change();
    let third = far.backup("third", &table);
    assert!(third.totals.data_stored < first.totals.data_stored / 4);
    assert_eq!(far.data_read(), HashSet::new());
    assert!(newest_table(&far.fixture) == table.bytes());
}

#[test]
fn chunks_that_a_prune_has_moved_to_other_packs_are_bases_still() {
    let far = Far::new();
    let mut table = Table::new(30_000);
    let first = far.backup("first", &table);
    let (packs, cached) = (far.fixture.names("packs/"), far.files());
    for name in far.fixture.names("index/") {
        far.fixture.memory.delete(&name).unwrap();
    }
    far.backup_with("moved", &table, BackupOptions { force: true, ..far.fixture.tree() });
    packs.iter().for_each(|name| far.fixture.memory.delete(name).unwrap());
    // Only what was kept of the old packs.
    let since = far.files().into_iter().filter(|file| !cached.contains(file));
    since.for_each(|file| fs::remove_file(file).unwrap());
    table.change();
    let next = far.backup("next", &table);
    assert!(next.totals.data_stored < first.totals.data_stored / 4);
    assert!(far.delta_count() > 0 && far.data_read().is_empty());
    far.assert_bases_are_there();
    assert!(newest_table(&far.fixture) == table.bytes());
}

/// Text of hexadecimal digits, of which half compresses away.
pub(super) fn digits(seed: u64, len: usize) -> Vec<u8> {
    noise(seed, len / 2).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

#[test]
fn the_cache_keeps_to_its_bound_and_drops_what_is_unused_for_longest() {
    let far = Far::new();
    let bytes_max = 6 << 20;
    let old_bytes = OldBytes { cached_bytes_max: bytes_max, ..OldBytes::default() };
    let options = || BackupOptions { old_bytes, ..far.fixture.tree() };
    let mut table = Table::new(20_000);
    far.backup_with("table", &table, options());
    let table_files = far.files();
    for round in 0..6 {
        far.fixture.file(&format!("digits {round}"), &digits(round, 3 << 20));
        table.change();
        let summary = far.backup_with(&format!("round {round}"), &table, options());
        // Little of the table is new, so it was a difference; what was read for it stays.
        assert!(summary.totals.data_stored < 2 << 20, "round {round}");
        assert!(bytes_of(&far.files()) <= bytes_max);
        assert!(table_files.iter().all(|file| file.exists()), "round {round}");
    }
    assert!(bytes_of(&far.files()) > bytes_max / 2);
    assert_eq!(far.data_read(), HashSet::new());
    // A bound that was lowered.
    let old_bytes = OldBytes { cached_bytes_max: 2 << 20, ..OldBytes::default() };
    table.change();
    far.backup_with("last", &table, BackupOptions { old_bytes, ..far.fixture.tree() });
    assert!(bytes_of(&far.files()) <= 2 << 20);
    assert!(newest_table(&far.fixture) == table.bytes());
}

#[test]
fn a_source_above_the_bound_fills_it_once_in_a_run() {
    let far = Far::new();
    let bytes_max = 3 << 20;
    let old_bytes = OldBytes { cached_bytes_max: bytes_max, ..OldBytes::default() };
    far.fixture.file("digits", &digits(1, 20 << 20));
    let options = BackupOptions { old_bytes, ..far.fixture.tree() };
    far.backup_with("first", &Table::new(10), options);
    assert!(bytes_of(&far.files()) <= bytes_max);
    let repo = far.open("ids");
    let kept: Vec<ChunkId> = far.files().iter().flat_map(|file| cached_ids(&repo, file)).collect();
    // What was read first was not dropped for what came later.
    let index = repo.load_index(&Silent).unwrap();
    let positions = kept.iter().map(|id| index.find(id)[0].frame.position);
    assert!(positions.max().unwrap() < 6 << 20, "of 10 MiB");
}

#[test]
fn what_a_source_above_the_bound_lacks_costs_no_more_from_run_to_run() {
    let far = Far::new();
    let mut bytes = digits(1, 20 << 20);
    // Stored, that is 11 MB.
    let old_bytes = OldBytes { cached_bytes_max: 9 << 20, ..OldBytes::default() };
    let mut stored = Vec::new();
    for round in 0..5 {
        for at in (round..bytes.len()).step_by(20_000) {
            bytes[at] = b'.';
        }
        far.fixture.file("digits", &bytes);
        let options = BackupOptions { old_bytes, ..far.fixture.tree() };
        let summary = far.backup_with(&format!("round {round}"), &Table::new(10), options);
        stored.push(summary.totals.data_stored);
    }
    // A third has no old bytes and is stored full.
    assert!(stored[1..].iter().all(|it| *it < stored[0] / 2), "{stored:?}");
}

#[test]
fn a_cache_that_goes_away_in_the_middle_of_a_backup_is_no_error() {
    let far = Far::new();
    let mut table = Table::new(30_000);
    far.backup("first", &table);
    table.change();
    let folder = far.cache.path().to_owned();
    let hook = move || fs::remove_dir_all(&folder).unwrap();
    *far.store.at_stage.lock().unwrap() = Some(Box::new(hook));
    let summary = far.backup("second", &table);
    assert!(summary.snapshot_id.is_some() && !summary.partial);
    assert!(newest_table(&far.fixture) == table.bytes());
    table.change();
    far.backup("third", &table);
    assert!(newest_table(&far.fixture) == table.bytes());
    far.assert_bases_are_there();
}

#[test]
fn a_cache_that_cannot_be_written_is_a_note() {
    let far = Far::new();
    let mut table = Table::new(30_000);
    far.backup("first", &table);
    let shelf = far.shelf();
    fs::remove_dir_all(&shelf).unwrap();
    let hook = {
        let shelf = shelf.clone();
        move || {
            fs::remove_dir_all(&shelf).unwrap();
            fs::write(&shelf, b"no folder").unwrap();
        }
    };
    *far.store.at_stage.lock().unwrap() = Some(Box::new(hook));
    table.change();
    far.fixture.file("table", &table.bytes());
    let heard = Heard::default();
    let summary = backup(&far.open("second"), far.fixture.tree(), &heard).unwrap();
    assert!(summary.snapshot_id.is_some());
    let lines = heard.lines.lock().unwrap();
    assert!(
        lines.iter().any(|line| line.starts_with("note") && line.contains("cache")),
        "{lines:?}"
    );
    assert!(newest_table(&far.fixture) == table.bytes());
}

#[test]
fn no_secret_ever_enters_the_cache() {
    const SECRET: &[u8] = b"the password is correct horse battery staple";
    let far = Far::new();
    let secret = far.fixture.source.path().with_extension("secret");
    let mut table = Table::new(30_000);
    for round in 0..3 {
        // Long enough that any other file like it is kept for differences.
        let secrets = [SECRET, &table.bytes(), SECRET, format!("{round}").as_bytes()].concat();
        fs::write(&secret, secrets).unwrap();
        let mut options = far.fixture.tree();
        options.force = round == 2;
        options.sources.push(SourceOptions::Secrets(SecretsSource {
            name: "secrets".to_owned(),
            paths: vec![secret.clone()],
            environment_files: Vec::new(),
            commands: Vec::new(),
        }));
        let summary = far.backup_with(&format!("round {round}"), &table, options);
        assert!(!summary.partial && summary.errors == 0);
        table.change();
    }
    fs::remove_file(&secret).unwrap();
    let repo = far.open("ids");
    let index = repo.load_index(&Silent).unwrap();
    let is_secret = |frame: &&super::delta::FrameOf| {
        let number = index.find_pack(&frame.0).unwrap();
        index.pack(number).class == Class::S
    };
    let frames = frames(&far.fixture);
    let secret: HashSet<ChunkId> =
        frames.iter().filter(is_secret).flat_map(|frame| frame.2.clone()).collect();
    assert!(secret.len() > 20);
    let cached: HashSet<ChunkId> =
        far.files().iter().flat_map(|file| cached_ids(&repo, file)).collect();
    assert!(cached.len() > 20 && cached.is_disjoint(&secret));
    for file in all_files(far.cache.path()) {
        let bytes = fs::read(&file).unwrap();
        for word in [&SECRET[..20], b"the same words in every row"] {
            let is_here = bytes.windows(word.len()).any(|window| window == word);
            assert!(!is_here, "{}", file.display());
        }
    }
}

fn all_files(folder: &FilePath) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

#[test]
fn hosts_that_share_a_cache_at_once_keep_to_its_bound() {
    let far = Far::new();
    let bytes_max = 4 << 20;
    let old_bytes = OldBytes { cached_bytes_max: bytes_max, ..OldBytes::default() };
    let folders: Vec<tempfile::TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut tables: Vec<Table> = (0..3).map(|number| Table::new(15_000 + number * 1000)).collect();
    for round in 0..4 {
        std::thread::scope(|scope| {
            for (number, (folder, table)) in folders.iter().zip(&mut tables).enumerate() {
                let far = &far;
                scope.spawn(move || {
                    table.change();
                    fs::write(folder.path().join("table"), table.bytes()).unwrap();
                    let job = Some(format!("job {number}"));
                    let options = BackupOptions { job, old_bytes, ..tree_options(folder.path()) };
                    let repo = far.open(&format!("host {number} round {round}"));
                    assert!(backup(&repo, options, &Silent).unwrap().snapshot_id.is_some());
                });
            }
        });
    }
    assert!(far.delta_count() > 0);
    far.assert_bases_are_there();
    // One file of each may have been named between another's look and its own.
    assert!(bytes_of(&far.files()) <= bytes_max + (2 << 20));
    let newest: Vec<Vec<u8>> =
        far.fixture.read_all().unwrap().into_iter().map(|mut it| it.swap_remove(0).1).collect();
    assert!(tables.iter().all(|table| newest.contains(&table.bytes())));
}
