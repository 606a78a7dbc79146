//! Databases found among the files: their pages instead of their bytes.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::read::{self, Message};
use super::spool::Spool;
use crate::chunk::Cutter;
use crate::crypto::Keyring;
use crate::error::{Error, SourceError};
use crate::model::{Class, Entropy};
use crate::observe::{Event, Observer};
use crate::repo::OlderContent;
use crate::source::sqlite::{
    Client, Facts, Pages, SqliteOptions, Verdict, base_of, begins_as_database, is_database, wal_len,
};
use crate::source::tree::{Found, OpenFile};

/// Databases of a tree whose facts are kept; a source's facts are a part of its snapshot.
const FACTS_COUNT_MAX: usize = 1000;
/// Bytes the WAL of a database may grow by while the store is too slow for it.
const WAL_GROWTH_MAX: u64 = 1 << 30;
/// Bytes of growth that nobody minds: four times what SQLite lets a WAL grow to before it is emptied.
const WAL_UNSEEN_LEN: u64 = 16 << 20;

/// What all readers of one capture know of databases.
pub(super) struct Databases<'r> {
    pub options: &'r SqliteOptions,
    pub cutter: Cutter,
    pub entropy: &'r Entropy,
    pub observer: &'r dyn Observer,
    /// Where pages wait when the store is slow.
    pub spool_dir: Option<PathBuf>,
    /// Bytes of pages that wait in memory.
    pub spool_len: usize,
    /// Every file is a database that was asked for by name.
    pub named: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Client>,
    /// What SQLite said of the databases that sidecars belong to.
    verdicts: HashMap<Vec<u8>, bool>,
    facts: BTreeMap<String, String>,
    left_out: u64,
}

/// What to do with a file.
pub(super) enum Look {
    Plain,
    /// Looks like a database, but SQLite refuses it.
    Refused,
    Database,
    /// Belongs to a database: what it holds is in the pages.
    Sidecar,
    Problem(SourceError),
}

impl<'r> Databases<'r> {
    pub(super) fn new(
        options: &'r SqliteOptions,
        cutter: Cutter,
        (entropy, observer): (&'r Entropy, &'r dyn Observer),
        (spool_dir, spool_len): (Option<PathBuf>, usize),
        named: bool,
    ) -> Self {
        let state = Mutex::default();
        Self { options, cutter, entropy, observer, spool_dir, spool_len, named, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was measured, by name; in a tree by path.
    pub(super) fn facts(&self) -> BTreeMap<String, String> {
        let state = self.lock();
        let mut facts = state.facts.clone();
        if state.left_out > 0 {
            facts.insert("sqlite facts left out".to_owned(), state.left_out.to_string());
        }
        facts
    }

    /// Decides by the first bytes, and, for sidecars, by those of the database of that name.
    pub(super) fn look(&self, found: &Found, file: &OpenFile) -> Look {
        let path = found.absolute_path();
        if let Some(base) = base_of(&path)
            && self.is_database_beside(base)
        {
            return Look::Sidecar;
        }
        if !is_database(&file.file) {
            if self.named {
                return Look::Problem(SourceError::new(path, "is not a SQLite database"));
            }
            return Look::Plain;
        }
        match self.probe(&path) {
            // One that cannot be read now may be once its locks are gone: the reading waits longer.
            Ok(Verdict::Fine | Verdict::Failed(_)) => Look::Database,
            Ok(Verdict::Refused(what)) if self.named => {
                Look::Problem(SourceError::new(path, format!("SQLite refuses it: {what}")))
            }
            Ok(Verdict::Refused(what)) => {
                let looks = "looks like a SQLite database, but SQLite refuses it";
                self.note(&path, &format!("{looks} ({what}): stored as a plain file"));
                Look::Refused
            }
            Err(error) => Look::Problem(SourceError::new(path, error)),
        }
    }

    pub(super) fn note(&self, path: &[u8], what: &str) {
        let path = String::from_utf8_lossy(path);
        self.observer.event(Event::Note(&format!("{path}: {what}")));
    }

    fn is_database_beside(&self, base: &[u8]) -> bool {
        if let Some(verdict) = self.lock().verdicts.get(base) {
            return *verdict;
        }
        // Whatever keeps SQLite from it now, its sidecars are no files of their own.
        let verdict = begins_as_database(as_path(base))
            && !matches!(self.probe(base), Ok(Verdict::Refused(_)));
        self.lock().verdicts.insert(base.to_vec(), verdict);
        verdict
    }

    fn probe(&self, path: &[u8]) -> io::Result<Verdict> {
        let mut client = self.client()?;
        let verdict = client.probe(as_path(path), &|| self.observer.is_interrupted())?;
        self.lock().idle.push(client);
        Ok(verdict)
    }

    fn client(&self) -> io::Result<Client> {
        let idle = self.lock().idle.pop();
        idle.map_or_else(|| Client::start(self.options), Ok)
    }

    /// Reads a database and hands it on in parts; the bytes and the facts.
    ///
    /// The outer error is the repository's, the inner one the source's.
    pub(super) fn read(
        &self,
        names: (&Keyring, Class),
        found: &Found,
        older: Option<OlderContent<'_>>,
        messages: &Sender<Message>,
    ) -> Result<Result<(u64, Facts), SourceError>, Error> {
        let path = found.absolute_path();
        let spool = Spool::new(self.entropy, self.spool_dir.clone(), self.spool_len);
        let (read, facts) = thread::scope(|scope| {
            let pump = scope.spawn(|| {
                let pumped = self.pump(as_path(&path), &spool);
                let outcome = pumped.as_ref().map(drop).map_err(String::clone);
                spool.end(outcome);
                pumped
            });
            let mut rest = Rest { spool: &spool, block: Vec::new(), at: 0 };
            let mut append = |bytes: &mut Vec<u8>, len: usize| rest.append(bytes, len);
            let read = read::stream(names, |_| &self.cutter, &mut append, older, messages);
            spool.abandon();
            let facts = pump.join().unwrap_or_else(|_| Err("its reader has panicked".to_owned()));
            (read, facts)
        });
        let problem = |what: String| SourceError::new(path.clone(), what);
        Ok(match (read?, facts) {
            (_, Err(what)) => Err(problem(what)),
            (Err(error), Ok(_)) => Err(problem(format!("cannot be read: {error}"))),
            (Ok(read), Ok(facts)) => {
                self.remember(&path, &facts);
                Ok((read.stored, facts))
            }
        })
    }

    /// Moves pages from the worker to the spool until the facts come.
    fn pump(&self, path: &Path, spool: &Spool) -> Result<Facts, String> {
        let died = |error: io::Error| error.to_string();
        let is_stopped = || self.observer.is_interrupted();
        let mut client = self.client().map_err(died)?;
        client.read(path).map_err(died)?;
        let mut patience = Transaction::new(path, self.options);
        loop {
            match client.next(&is_stopped).map_err(died)? {
                Pages::Begun(facts) => patience.begin(&facts),
                Pages::Block(block) => {
                    if !spool.push(block, &|| patience.is_willing(), &|| patience.look())? {
                        return Err("interrupted".to_owned());
                    }
                }
                Pages::Released => {}
                Pages::Failed(what) => {
                    self.lock().idle.push(client);
                    return Err(format!("SQLite cannot read it: {what}"));
                }
                Pages::Facts(facts) => {
                    self.lock().idle.push(client);
                    return Ok(facts);
                }
            }
        }
    }

    fn remember(&self, path: &[u8], facts: &Facts) {
        let mut state = self.lock();
        if self.named {
            state.facts.clone_from(&facts.values);
        } else if state.facts.len() < FACTS_COUNT_MAX {
            let name = format!("sqlite {}", String::from_utf8_lossy(path));
            state.facts.insert(name, facts.line());
        } else {
            state.left_out += 1;
        }
    }
}

/// How long a transaction may be held open for a store that is too slow.
struct Transaction<'p> {
    options: &'p SqliteOptions,
    path: &'p Path,
    wal_len: Option<u64>,
    begun: Instant,
}

impl<'p> Transaction<'p> {
    fn new(path: &'p Path, options: &'p SqliteOptions) -> Self {
        Self { options, path, wal_len: None, begun: Instant::now() }
    }

    fn begin(&mut self, facts: &Facts) {
        self.begun = Instant::now();
        let is_wal = facts.values.get("journal_mode").is_some_and(|mode| mode == "wal");
        self.wal_len = is_wal.then(|| wal_len(self.path));
    }

    /// Writers of a WAL wait for no reader. Whoever empties it does, hence not for long.
    fn is_willing(&self) -> bool {
        self.begun.elapsed() < self.options.lock_max
            && self
                .wal_len
                .is_some_and(|before| wal_len(self.path) <= before.saturating_add(WAL_UNSEEN_LEN))
    }

    fn look(&self) -> Result<(), String> {
        match self.wal_len {
            Some(before) if wal_len(self.path) > before.saturating_add(WAL_GROWTH_MAX) => {
                Err("the repository is too slow for it: its WAL has grown by 1 GiB meanwhile"
                    .into())
            }
            None if self.begun.elapsed() > self.options.lock_max => Err(format!(
                "the repository is too slow for it: its lock was held for {} s (--lock-max)",
                self.options.lock_max.as_secs()
            )),
            _ => Ok(()),
        }
    }
}

/// Blocks of a spool as one stream.
struct Rest<'s> {
    spool: &'s Spool,
    block: Vec<u8>,
    at: usize,
}

impl Rest<'_> {
    fn append(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<usize> {
        if self.at == self.block.len() {
            match self.spool.pop()? {
                Some(block) => (self.block, self.at) = (block, 0),
                None => return Ok(0),
            }
        }
        let count = len.min(self.block.len() - self.at);
        bytes.extend_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
