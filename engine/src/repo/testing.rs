//! A repository in memory for the tests of the modules above.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{ChunkReader, InitOptions, OldBytes, OpenOptions, Repository, Tuning};
use crate::backup::{BackupOptions, BackupSummary, RACY_WINDOW_NS, SourceOptions, backup};
use crate::crypto::{Credential, KdfStrength, Place, Secret32, object_hash};
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::model::*;
use crate::observe::{Event, Observer, Silent};
use crate::source::tree::TreeOptions;
use crate::store::{Creation, Listed, MemoryStore, Staged, Store};

/// Late enough that no file of a test is racy.
pub(crate) const NOW_NS: i64 = 4_000_000_000_000_000_000;

/// Names and contents.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

pub(crate) struct Fixture {
    pub memory: Arc<MemoryStore>,
    state: tempfile::TempDir,
    pub source: tempfile::TempDir,
    /// Where caches are; none at first.
    pub cache_dir: Option<PathBuf>,
    /// Each opening is a second later than the one before.
    openings: AtomicI64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_keys("init")
    }

    /// A repository whose id and keys come from `seed`.
    pub(crate) fn with_keys(seed: &str) -> Self {
        let fixture = Self {
            memory: Arc::new(MemoryStore::new()),
            state: tempfile::tempdir().unwrap(),
            source: tempfile::tempdir().unwrap(),
            cache_dir: None,
            openings: AtomicI64::new(0),
        };
        let options = InitOptions {
            strength: KdfStrength::Default,
            label: String::new(),
            host: "host".to_owned(),
            tuning: Tuning::default(),
            open: fixture.options(seed),
        };
        Repository::init(fixture.memory.clone(), options, &Silent).unwrap();
        fixture
    }

    fn options(&self, seed: &str) -> OpenOptions {
        OpenOptions {
            credentials: vec![Credential::KeyFile(Secret32::new([7; 32]))],
            cache_dir: self.cache_dir.clone(),
            state_dir: self.state.path().to_owned(),
            entropy: Entropy::fixed(seed.as_bytes()),
            clock: Clock::fixed(
                NOW_NS + self.openings.fetch_add(1, Ordering::SeqCst) * 1_000_000_000,
            ),
            memory: MemoryBound::default(),
        }
    }

    pub(crate) fn open(&self, seed: &str) -> Repository {
        self.try_open(self.memory.clone(), seed).unwrap()
    }

    /// Opens at a moment of one's own.
    pub(crate) fn open_at(&self, seed: &str, now_ns: i64) -> Repository {
        let options = OpenOptions { clock: Clock::fixed(now_ns), ..self.options(seed) };
        Repository::open(self.memory.clone(), options, &Silent).unwrap()
    }

    pub(crate) fn try_open(&self, store: Arc<dyn Store>, seed: &str) -> Result<Repository> {
        Repository::open(store, self.options(seed), &Silent)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.source.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn tree(&self) -> BackupOptions {
        tree_options(self.source.path())
    }

    pub(crate) fn backup(&self, seed: &str) -> BackupSummary {
        backup(&self.open(seed), self.tree(), &Silent).unwrap()
    }

    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        self.memory
            .list(prefix, &mut |name, _| {
                names.push(name.to_owned());
                Ok(())
            })
            .unwrap();
        names
    }

    /// Packs of a purpose, by the index.
    pub(crate) fn packs(&self, purpose: Purpose) -> Vec<PackId> {
        let index = self.open("packs").load_index(&Silent).unwrap();
        let found = index.packs().filter(|(_, pack)| pack.purpose == purpose);
        found.map(|(_, pack)| pack.id).collect()
    }

    /// Every file of every valid snapshot that can be read whole, or the first error.
    pub(crate) fn read_all(&self) -> Result<Vec<Files>> {
        let repo = self.open("read");
        let reader = repo.reader(&Silent)?;
        let snapshots = repo.snapshots(true, &Silent)?;
        snapshots.iter().map(|(_, snapshot)| read_files(&reader, snapshot)).collect()
    }

    /// The files of the source as [`Fixture::read_all`] gives those of a snapshot.
    pub(crate) fn wanted(&self) -> Files {
        let files = fs::read_dir(self.source.path()).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> = files
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

/// The files of a snapshot.
pub(crate) fn read_files(reader: &ChunkReader<'_>, snapshot: &Snapshot) -> Result<Files> {
    let mut files = Vec::new();
    for source in &snapshot.sources {
        reader.entries(&[source], &[], &mut |_, entry| {
            if matches!(entry.kind, EntryKind::File { .. }) {
                let mut bytes = Vec::new();
                reader.write_file(&entry, &mut bytes)?;
                files.push((String::from_utf8_lossy(entry.path.name()).into_owned(), bytes));
            }
            Ok(true)
        })?;
    }
    Ok(files)
}

pub(crate) fn tree_options(root: &FilePath) -> BackupOptions {
    BackupOptions {
        sources: vec![SourceOptions::tree(TreeOptions {
            roots: vec![root.to_owned()],
            ..TreeOptions::default()
        })],
        sqlite: None,
        host: "host".to_owned(),
        job: Some("job".to_owned()),
        tags: Vec::new(),
        force: false,
        dry_run: false,
        checkpoint_interval: None,
        secret_scan: true,
        watched: false,
        deltas: true,
        old_bytes: OldBytes::default(),
        zstd_level: None,
        racy_window_ns: RACY_WINDOW_NS,
        tool: "test".to_owned(),
    }
}

pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Entropy::fixed(&seed.to_le_bytes()).fill(&mut bytes);
    bytes
}

/// Puts an open generation after the highest.
pub(crate) fn put_generation(repo: &Repository, condemned: &[PackId], features: Features) {
    let view = repo.view().unwrap();
    let number = view.highest() + 1;
    let mut condemned = condemned.to_vec();
    condemned.sort_unstable();
    let generation = Generation {
        number,
        previous: view.head().hash,
        condemned,
        features,
        author: repo.author().host(),
        created_ns: 0,
        ring: repo.ring(),
    };
    let cbor = format::generation::encode(&generation).unwrap();
    put(repo, ObjectKind::Generation, number, &format!("gen/{number}"), &cbor);
}

/// Closes the open generation 1 with these snapshots and deleted packs.
pub(crate) fn put_close(repo: &Repository, valid: &[SnapshotRef], deleted: &[PackId]) {
    let (generation, named) = repo.load_generation(1).unwrap();
    let mut deleted = deleted.to_vec();
    deleted.sort_unstable();
    let close = Close {
        number: 1,
        generation: named.hash,
        full: false,
        previous: ObjectHash([0; 32]),
        valid_add: valid.to_vec(),
        valid_drop: Vec::new(),
        deleted_add: deleted,
        deleted_drop: Vec::new(),
        forgets: Vec::new(),
        author: generation.author,
        created_ns: 0,
        ring: repo.ring(),
    };
    let cbor = format::generation::encode_close(&close).unwrap();
    for name in ["gen/1.close.copy", "gen/1.close"] {
        put(repo, ObjectKind::Close, 1, name, &cbor);
    }
}

fn put(repo: &Repository, kind: ObjectKind, number: u64, name: &str, cbor: &[u8]) {
    // The same bytes for both copies.
    let entropy = Entropy::fixed(format!("{kind:?} {number}").as_bytes());
    let place = Place::number(number);
    let sealed = repo.keyring().seal_signed(&entropy, repo.author(), kind, &place, cbor).unwrap();
    assert_ne!(object_hash(&sealed), [0; 32]);
    assert_eq!(repo.store().create(name, &sealed).unwrap(), Creation::Created);
}

/// A store that runs `hook` once, before it is asked for the length of `at`.
pub(crate) struct HookStore {
    pub inner: Arc<dyn Store>,
    pub at: String,
    pub hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Store for HookStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        self.inner.get(name, len_max)
    }
    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.inner.get_range(name, offset, len)
    }
    fn len(&self, name: &str) -> Result<Option<u64>> {
        if name == self.at {
            let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
            hook.into_iter().for_each(|hook| hook());
        }
        self.inner.len(name)
    }
    fn stage(&self) -> Result<Staged> {
        self.inner.stage()
    }
    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        self.inner.publish(staged, name)
    }
    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        self.inner.list(prefix, each)
    }
    fn modified_ns(&self, name: &str) -> Result<Option<i64>> {
        self.inner.modified_ns(name)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
}

/// A store that does not take objects of some names: it is as if the process ended there.
pub(crate) struct RefusingStore {
    pub inner: Arc<dyn Store>,
    pub refuses: fn(&str) -> bool,
}

impl Store for RefusingStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        self.inner.get(name, len_max)
    }
    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.inner.get_range(name, offset, len)
    }
    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.inner.len(name)
    }
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation> {
        if (self.refuses)(name) {
            return Err(Error::new(Kind::Unavailable, format!("{name} is refused on purpose")));
        }
        self.inner.create(name, bytes)
    }
    fn stage(&self) -> Result<Staged> {
        self.inner.stage()
    }
    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        self.inner.publish(staged, name)
    }
    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        self.inner.list(prefix, each)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
}

/// A store that runs `hook` once, before the `nth` request of any kind, counted from 1.
pub(crate) struct NthStore {
    pub inner: Arc<dyn Store>,
    pub nth: u64,
    pub count: AtomicU64,
    pub hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl NthStore {
    fn next(&self) -> &dyn Store {
        // Whoever computes for others must not wait for what the hook has them compute: the next request does.
        let computes = rayon::current_thread_index().is_some();
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 >= self.nth && !computes {
            let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
            hook.into_iter().for_each(|hook| hook());
        }
        self.inner.as_ref()
    }
}

impl Store for NthStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        self.next().get(name, len_max)
    }
    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.next().get_range(name, offset, len)
    }
    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.next().len(name)
    }
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation> {
        self.next().create(name, bytes)
    }
    fn stage(&self) -> Result<Staged> {
        self.inner.stage()
    }
    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        self.next().publish(staged, name)
    }
    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        self.next().list(prefix, each)
    }
    fn modified_ns(&self, name: &str) -> Result<Option<i64>> {
        self.inner.modified_ns(name)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.next().delete(name)
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Heard {
    pub lines: Mutex<Vec<String>>,
    pub interrupted: std::sync::atomic::AtomicBool,
}

impl Observer for Heard {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::SourceProblem(problem) => format!("problem {problem}"),
            Event::Finding(what) => format!("finding {what}"),
            Event::Warning(what) => format!("warning {what}"),
            Event::Note(what) => format!("note {what}"),
            Event::Progress(_) | Event::Entry { .. } => return,
        };
        self.lines.lock().unwrap().push(line);
    }
    fn is_interrupted(&self) -> bool {
        self.interrupted.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// A table of rows of about 100 bytes, like a database's.
pub(crate) struct Table {
    pub rows: Vec<String>,
    entropy: Entropy,
}

impl Table {
    pub(crate) fn new(count: usize) -> Self {
        let mut table = Self { rows: Vec::new(), entropy: Entropy::fixed(b"table") };
        for number in 0..count {
            let row = table.row(number);
            table.rows.push(row);
        }
        table
    }

    pub(crate) fn random(&self, end: usize) -> usize {
        (u64::from_le_bytes(self.entropy.bytes()) % end as u64) as usize
    }

    pub(crate) fn row(&self, number: usize) -> String {
        let random: [u8; 8] = self.entropy.bytes();
        let text = "the same words in every row ".repeat(1 + self.random(3));
        format!("{number:08}|{:016x}|{text}\n", u64::from_le_bytes(random))
    }

    /// Changes about one row of 200, and adds one for every 1000.
    pub(crate) fn change(&mut self) {
        let count = self.rows.len();
        for _ in 0..count / 200 {
            let number = self.random(count);
            self.rows[number] = self.row(number);
        }
        for number in count..count + count / 1000 {
            let row = self.row(number);
            self.rows.push(row);
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.rows.concat().into_bytes()
    }
}

/// What is done once, in the middle of something else.
pub(crate) type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// A store that is dear to read; it tells which objects were read in part.
pub(crate) struct FarStore {
    pub inner: Arc<dyn Store>,
    pub read: Mutex<Vec<String>>,
    /// Runs when the first pack of a run begins.
    pub at_stage: Hook,
}

impl FarStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, read: Mutex::default(), at_stage: Mutex::default() })
    }
}

impl Store for FarStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn is_local(&self) -> bool {
        false
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        self.inner.get(name, len_max)
    }
    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.read.lock().unwrap().push(name.to_owned());
        self.inner.get_range(name, offset, len)
    }
    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.inner.len(name)
    }
    fn stage(&self) -> Result<Staged> {
        let hook = self.at_stage.lock().unwrap().take();
        hook.into_iter().for_each(|hook| hook());
        self.inner.stage()
    }
    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        self.inner.publish(staged, name)
    }
    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        self.inner.list(prefix, each)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
}
