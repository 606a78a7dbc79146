//! Reads all secrets of a source, again if a link was moved meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroize;

use super::database::{self, Database};
use super::layout::{self, Planned};
use super::places::Places;
use super::{SECRETS_COUNT_MAX, SECRETS_LEN_MAX, SecretsSource};
use crate::error::SourceError;
use crate::model::{Content, Entry, EntryKind, EntryPath, Owner, SecretBytes, Time, Xattrs};
use crate::source::sqlite::{SqliteOptions, base_of, is_database};
use crate::source::stream::StreamSource;
use crate::source::tree::{Exclusion, Found, OpenFile, TreeOptions, Walk, WalkItem};

/// How often everything is read again when a link was moved meanwhile, and a file when it changed.
const ROUNDS_MAX: u32 = 5;
const READS_MAX: u32 = 3;
/// Who replaces a mount does it in two steps, shortly after each other.
const WAIT: Duration = Duration::from_millis(50);

/// One secret: its entry without content, and the bytes of a file.
#[derive(Debug)]
pub struct Secret {
    pub entry: Entry,
    pub bytes: SecretBytes,
    /// The file changed in every reading.
    pub changed: bool,
}

/// What a source holds now.
#[derive(Debug, Default)]
pub struct Secrets {
    pub list: BTreeMap<EntryPath, Secret>,
    /// What could not be read; names only what was asked for.
    pub problems: Vec<SourceError>,
}

impl SecretsSource {
    /// Reads everything that is asked for, but for what lies in the folders `skip`; databases as
    /// `sqlite` says. Outputs of commands are files of the moment `now`.
    ///
    /// # Errors
    /// When there is more than fits, or a link is moved again and again. What cannot be read of the
    /// rest is a problem of its own.
    pub fn read(
        &mut self,
        skip: &[PathBuf],
        sqlite: Option<&SqliteOptions>,
        now: Time,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Secrets, SourceError> {
        let mut reading = Reading::new(sqlite, is_stopped);
        for round in 1.. {
            let links = reading.files(self, skip)?;
            if !links.iter().any(layout::Link::has_moved) {
                break;
            }
            if round == ROUNDS_MAX || is_stopped() {
                let what = format!("a link was moved in each of {round} readings: try again later");
                return Err(SourceError::new(self.name.as_bytes(), what));
            }
            thread::sleep(WAIT);
            reading = Reading::new(sqlite, is_stopped);
        }
        for command in &mut self.commands {
            reading.command(command, now)?;
        }
        Ok(reading.secrets)
    }
}

struct Reading<'r> {
    secrets: Secrets,
    /// Bytes that still fit.
    room: usize,
    /// How databases are read, and the real paths of those that are: what lies beside them is theirs.
    sqlite: Option<&'r SqliteOptions>,
    databases: HashSet<Vec<u8>>,
    is_stopped: &'r dyn Fn() -> bool,
}

/// The bytes of a file, and whether it changed all the time.
type Bytes = (SecretBytes, bool);

impl<'r> Reading<'r> {
    fn new(sqlite: Option<&'r SqliteOptions>, is_stopped: &'r dyn Fn() -> bool) -> Self {
        let (secrets, databases) = (Secrets::default(), HashSet::new());
        Self { secrets, room: SECRETS_LEN_MAX, sqlite, databases, is_stopped }
    }

    fn files(
        &mut self,
        source: &SecretsSource,
        skip: &[PathBuf],
    ) -> Result<Vec<layout::Link>, SourceError> {
        let places = Places::find(source);
        self.secrets.problems.extend(places.problems.iter().cloned());
        if places.list.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.walk(&places, skip)?;
        let (planned, links) = layout::plan(found, &places);
        if planned.len() > SECRETS_COUNT_MAX {
            return Err(too_much(&places));
        }
        for planned in planned {
            self.take(planned, &places)?;
        }
        Ok(links)
    }

    /// Everything below the places; links have their targets.
    fn walk(&mut self, places: &Places, skip: &[PathBuf]) -> Result<Vec<Found>, SourceError> {
        let options =
            TreeOptions { roots: places.roots(), skip: skip.to_vec(), ..TreeOptions::default() };
        let mut list = Vec::new();
        for item in Walk::start(&options)? {
            match item {
                WalkItem::Found(mut found) => {
                    if let EntryKind::Symlink { .. } = found.entry.kind
                        && let Err(problem) = found.complete()
                    {
                        self.problem(places, &problem);
                        continue;
                    }
                    list.push(found);
                }
                WalkItem::Problem(problem) => self.problem(places, &problem),
                WalkItem::Excluded { path, why: Exclusion::Reserved } => {
                    let what = "belongs to the repository or its cache or state: not stored";
                    self.problem(places, &SourceError::new(path, what));
                }
                WalkItem::Excluded { .. } => {}
            }
            if list.len() > SECRETS_COUNT_MAX {
                return Err(too_much(places));
            }
        }
        Ok(list)
    }

    fn take(&mut self, planned: Planned, places: &Places) -> Result<(), SourceError> {
        let Planned { mut found, path } = planned;
        let relative = path.strip_prefix("/").unwrap_or(&path).as_os_str().as_bytes();
        let Ok(stored) = EntryPath::new(relative) else {
            let what = "a path in it is too long";
            self.problem(places, &SourceError::new(path.as_os_str().as_bytes(), what));
            return Ok(());
        };
        // What it holds is in the pages. It stands after its database.
        if base_of(&found.absolute_path()).is_some_and(|base| self.databases.contains(base)) {
            return Ok(());
        }
        let read = match found.entry.kind {
            EntryKind::File { .. } => self.file(&mut found, places),
            // Links have been looked at.
            EntryKind::Symlink { .. } => Ok(Some((SecretBytes::new(Vec::new()), false))),
            _ => found.complete().map(|()| Some((SecretBytes::new(Vec::new()), false))),
        };
        match read {
            Err(problem) => self.problem(places, &problem),
            Ok(None) => return Err(too_much(places)),
            Ok(Some((bytes, changed))) => {
                let mut entry = found.entry;
                if let EntryKind::File { size, .. } = &mut entry.kind {
                    *size = bytes.as_bytes().len() as u64;
                }
                entry.path = stored.clone();
                self.secrets.list.insert(stored, Secret { entry, bytes, changed });
            }
        }
        Ok(())
    }

    /// None if they do not fit.
    fn file(&mut self, found: &mut Found, places: &Places) -> Result<Option<Bytes>, SourceError> {
        for round in 1.. {
            let open = found.open()?;
            found.complete_from(&open)?;
            if is_database(&open.file) {
                drop(open);
                return self.database(found, places);
            }
            let read = read_all(&open, self.room);
            let read = read.and_then(|bytes| Ok((bytes, open.stat_again()?)));
            let (bytes, again) = read.map_err(|error| found.problem("cannot be read", error))?;
            let Some(bytes) = bytes else { return Ok(None) };
            let changed = !open.stat.is_unchanged(&again);
            if !changed || round == READS_MAX {
                self.room = self.room.saturating_sub(bytes.as_bytes().len());
                return Ok(Some((bytes, changed)));
            }
        }
        unreachable!("the last round returns")
    }

    fn database(
        &mut self,
        found: &mut Found,
        places: &Places,
    ) -> Result<Option<Bytes>, SourceError> {
        let path = found.absolute_path();
        let at = Path::new(OsStr::from_bytes(&path));
        let what = match database::read(self.sqlite, at, self.room, self.is_stopped) {
            Err(what) => {
                self.databases.insert(path.clone());
                return Err(SourceError::new(path, what));
            }
            Ok(Database::TooLong) => return Ok(None),
            Ok(Database::Whole(bytes, is_sound)) => {
                self.room = self.room.saturating_sub(bytes.as_bytes().len());
                // A commit may change its WAL alone.
                (found.entry.database, found.entry.racy) = (true, true);
                self.databases.insert(path.clone());
                if !is_sound {
                    let what = "is stored as it is, but SQLite finds the database damaged";
                    self.problem(places, &SourceError::new(path, what));
                }
                return Ok(Some((bytes, false)));
            }
            Ok(Database::Refused) => {
                "begins as a SQLite database, but SQLite refuses it: stored as a plain file; its -wal \
                 and -journal are stored only if they are asked for too"
            }
        };
        self.problem(places, &SourceError::new(path, what));
        found.entry.racy = true;
        let open = found.open()?;
        let bytes = read_all(&open, self.room);
        let bytes = bytes.map_err(|error| found.problem("cannot be read", error))?;
        Ok(bytes.map(|bytes| (bytes, false)))
    }

    fn command(&mut self, command: &mut StreamSource, now: Time) -> Result<(), SourceError> {
        let name = command.name.clone();
        let failed = |what: String| SourceError::new(name.as_bytes(), what);
        let path = command.path()?;
        if self.secrets.list.contains_key(&path) {
            return Err(failed("another secret has this path: give it another name".to_owned()));
        }
        match output(command, self.room, self.is_stopped) {
            Ok(bytes) => {
                self.room = self.room.saturating_sub(bytes.as_bytes().len());
                self.folders_above(&path, now);
                let len = bytes.as_bytes().len() as u64;
                let content = Content::Chunks(Vec::new());
                let kind = EntryKind::File { size: len, content, holes: Vec::new() };
                let entry = made(path.clone(), kind, 0o600, now);
                self.secrets.list.insert(path, Secret { entry, bytes, changed: false });
            }
            Err(what) => self.secrets.problems.push(failed(what)),
        }
        Ok(())
    }

    /// Makes the folders above an output that are not there.
    fn folders_above(&mut self, path: &EntryPath, now: Time) {
        let raw = path.as_bytes();
        for end in (0..raw.len()).filter(|at| raw[*at] == b'/') {
            let Ok(folder) = EntryPath::new(&raw[..end]) else { continue };
            self.secrets.list.entry(folder.clone()).or_insert_with(|| Secret {
                entry: made(folder, EntryKind::Directory, 0o700, now),
                bytes: SecretBytes::new(Vec::new()),
                changed: false,
            });
        }
    }

    /// Keeps a problem without the path of what was found.
    fn problem(&mut self, places: &Places, problem: &SourceError) {
        let path = Path::new(OsStr::from_bytes(&problem.path));
        let shown = places.shown(path);
        let what = if shown == problem.path {
            problem.what.clone()
        } else {
            format!("something in it: {}", problem.what)
        };
        self.secrets.problems.push(SourceError { path: shown, what });
    }
}

/// An entry for what stands in no file system.
fn made(path: EntryPath, kind: EntryKind, mode: u32, now: Time) -> Entry {
    Entry {
        path,
        kind,
        mode,
        owner: Arc::new(Owner::default()),
        mtime: now,
        ctime: now,
        inode: 0,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    }
}

/// All bytes of a file, in memory that is not moved while it fills; none above `room`.
fn read_all(open: &OpenFile, room: usize) -> std::io::Result<Option<SecretBytes>> {
    let len = usize::try_from(open.stat.size).unwrap_or(usize::MAX);
    if len > room {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(len + 1);
    let read = (&open.file).take(len as u64 + 1).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    read?;
    // What has grown is read again.
    Ok(Some(bytes))
}

fn output(
    command: &mut StreamSource,
    room: usize,
    is_stopped: &dyn Fn() -> bool,
) -> Result<SecretBytes, String> {
    let mut open = command.open().map_err(|error| format!("cannot be started: {error}"))?;
    let mut part = vec![0; 64 << 10];
    let mut bytes = Vec::new();
    let read = loop {
        match open.read(&mut part, is_stopped) {
            Ok(0) => break Ok(()),
            Ok(len) if bytes.len() + len > room => break Err(format!("its output with {LIMIT}")),
            Ok(len) => grow(&mut bytes, &part[..len]),
            Err(error) => break Err(format!("cannot be read: {error}")),
        }
    };
    part.zeroize();
    let bytes = SecretBytes::new(bytes);
    read?;
    open.finish(is_stopped)?;
    if bytes.as_bytes().is_empty() {
        return Err("printed nothing: did it fail?".to_owned());
    }
    Ok(bytes)
}

/// Appends without leaving an old copy behind.
pub(super) fn grow(bytes: &mut Vec<u8>, more: &[u8]) {
    if bytes.capacity() - bytes.len() < more.len() {
        let mut larger = Vec::with_capacity((bytes.len() + more.len()) * 2);
        larger.extend_from_slice(bytes);
        bytes.zeroize();
        *bytes = larger;
    }
    bytes.extend_from_slice(more);
}

const LIMIT: &str = "the other secrets is above 32 MiB or 10000 entries";

fn too_much(places: &Places) -> SourceError {
    let first =
        places.list.first().map_or(b"secrets".as_slice(), |it| it.asked.as_os_str().as_bytes());
    let what =
        format!("with {LIMIT}: name the secret files alone, and give the rest as ordinary paths");
    SourceError::new(first, what)
}
