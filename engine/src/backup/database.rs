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

use super::moment::Moment;
use super::pages::{self, SameChunks};
use super::read::Message;
use super::spool::Spool;
use crate::chunk::Cutter;
use crate::crypto::Keyring;
use crate::error::{Error, SourceError};
use crate::manifest::GetNode;
use crate::model::{Class, Content, Entropy};
use crate::observe::{Event, Observer};
use crate::repo::{Known, OlderContent};
use crate::source::sqlite::{
    Client, Facts, Known as KnownState, Pages, SqliteOptions, Verdict, base_of, begins_as_database,
    fact_name, is_database, is_wal, may_be_encrypted, shown, wal_len,
};
use crate::source::tree::{Found, OpenFile};

/// Databases of a tree whose facts are kept; a source's facts are a part of its snapshot.
const FACTS_COUNT_MAX: usize = 1000;
/// Bytes the WAL of a database may grow by while the store is too slow for it.
const WAL_GROWTH_MAX: u64 = 1 << 30;
/// Bytes of growth that nobody minds: four times what SQLite lets a WAL grow to before it is emptied.
const WAL_UNSEEN_LEN: u64 = 16 << 20;

/// What to do with one that SQLite cannot read without its key.
const ENCRYPTED: &str = ", or it is an encrypted one, whose pages only its application can read: let that write \
                         a backup of it (with SQLCipher `sqlcipher_export` or the backup API) and store \
                         that";
const WAL_OF_NONE: &str = "has a WAL, but is no database that SQLite reads: if it is an encrypted one, both \
                           are stored as plain files, which are torn if it is in use";

/// The state of a database that was sealed last: where its chunks are, and which.
pub(super) type Sealed<'s> = (Known<'s>, &'s Content, &'s GetNode<'s>);

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
    /// What was measured the last time.
    pub known: BTreeMap<String, String>,
    /// The older contents of files are those of the states that `known` is about.
    pub known_is_content: bool,
    /// Databases whose moment is fixed already.
    pub moment: Option<&'r Moment>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
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
    /// Has no byte, and SQLite takes it for a database without a page.
    Empty,
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
        let (state, known, moment) = (Mutex::default(), BTreeMap::new(), None);
        let known_is_content = false;
        Self {
            options,
            cutter,
            entropy,
            observer,
            spool_dir,
            spool_len,
            named,
            known,
            known_is_content,
            moment,
            state,
        }
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

    /// True for a file that cannot be opened and need not be: what it holds is in a database's pages.
    pub(super) fn is_sidecar(&self, found: &Found) -> bool {
        base_of(&found.absolute_path()).is_some_and(|base| self.is_database_beside(base))
    }

    /// Decides by the first bytes, and, for sidecars, by those of the database of that name.
    pub(super) fn look(&self, found: &Found, file: &OpenFile) -> Look {
        let path = found.absolute_path();
        if let Some(base) = base_of(&path) {
            if self.is_database_beside(base) {
                return Look::Sidecar;
            }
            if is_wal(&file.file) {
                self.note(base, WAL_OF_NONE);
            }
        }
        if !is_database(&file.file) {
            if !self.named {
                return Look::Plain;
            }
            if file.stat.size == 0 {
                return self.look_at_empty(path);
            }
            let encrypted = if may_be_encrypted(&file.file) { ENCRYPTED } else { "" };
            let what = format!("is not a SQLite database{encrypted}");
            return Look::Problem(SourceError::new(path, what));
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

    /// A file without a byte that was asked for by name: as it is, if SQLite opens it.
    fn look_at_empty(&self, path: Vec<u8>) -> Look {
        let what = match self.probe(&path) {
            Ok(Verdict::Fine) => {
                // What is held of it at the moment of others is not needed.
                if let Some((moment, (client, others))) =
                    self.moment.and_then(|moment| Some((moment, moment.take(as_path(&path))?)))
                {
                    self.give_back(client, (!others.is_empty()).then_some(moment));
                }
                self.remember(&path, &Facts::of_nothing());
                return Look::Empty;
            }
            Ok(Verdict::Refused(what) | Verdict::Failed(what)) => what,
            Err(error) => error.to_string(),
        };
        Look::Problem(SourceError::new(
            path,
            format!("is empty, and SQLite does not open it: {what}"),
        ))
    }

    /// To the others of a moment that it holds still, or to those that wait for work.
    fn give_back(&self, client: Client, moment: Option<&Moment>) {
        match moment {
            Some(moment) => moment.give_back(client),
            None => self.options.clients.give_back(client),
        }
    }

    pub(super) fn note(&self, path: &[u8], what: &str) {
        let path = shown(path);
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
        let mut client = self.client(as_path(path))?;
        let verdict = client.probe(as_path(path), &|| self.observer.is_interrupted())?;
        self.options.clients.give_back(client);
        Ok(verdict)
    }

    fn client(&self, path: &Path) -> io::Result<Client> {
        self.options.clients.take(path, self.options, self.spool_dir.as_deref())
    }

    /// What was measured of the database the last time.
    fn facts_before(&self, path: &Path) -> Facts {
        if self.named {
            return Facts { values: self.known.clone() };
        }
        let line = self.known.get(&fact_name(path.as_os_str().as_bytes()));
        line.map(|line| Facts::of_line(line)).unwrap_or_default()
    }

    /// Reads a database and hands it on in parts, of what is `sealed` already only the names; the bytes
    /// and the facts.
    ///
    /// The outer error is the repository's, the inner one the source's.
    pub(super) fn read(
        &self,
        names: (&Keyring, Class),
        found: &Found,
        sealed: Option<Sealed<'_>>,
        messages: &Sender<Message>,
    ) -> Result<Result<(u64, Facts), SourceError>, Error> {
        let path = found.absolute_path();
        let older = sealed.map(|(known, content, get)| OlderContent::new(known, content, get));
        let same = sealed
            .filter(|_| self.known_is_content)
            .and_then(|(known, content, get)| SameChunks::of(known, content, get, &self.cutter));
        let chunk_len = same.as_ref().and_then(|_| self.cutter.page_len()).unwrap_or_default();
        let spool = Spool::new(self.entropy, self.spool_dir.clone(), self.spool_len);
        let (read, facts) = thread::scope(|scope| {
            let pump = scope.spawn(|| {
                let pumped = self.pump(as_path(&path), chunk_len, &spool);
                let outcome = pumped.as_ref().map(drop).map_err(String::clone);
                spool.end(outcome);
                pumped
            });
            let read = pages::stream(names, (&self.cutter, &spool), (older, same), messages);
            spool.abandon();
            let facts = pump.join().unwrap_or_else(|_| Err("its reader has panicked".to_owned()));
            (read, facts)
        });
        let problem = |what: String| SourceError::new(path.clone(), what);
        Ok(match (read?, facts) {
            (_, Err(what)) => Err(problem(what)),
            (Err(error), Ok(_)) => Err(problem(format!("cannot be read: {error}"))),
            (Ok(stored), Ok(facts)) => {
                self.remember(&path, &facts);
                Ok((stored, facts))
            }
        })
    }

    /// Moves pages from the worker to the spool until the facts come.
    fn pump(&self, path: &Path, chunk_len: u32, spool: &Spool) -> Result<Facts, String> {
        let died = |error: io::Error| error.to_string();
        let held = self.moment.and_then(|moment| moment.take(path));
        let (mut client, others) = match held {
            Some((client, others)) => (client, Some(others)),
            None => (self.client(path).map_err(died)?, None),
        };
        let known = KnownState { facts: self.facts_before(path), chunk_len };
        client.read(path, known, self.options).map_err(died)?;
        let mut patience = Transaction::new(path, others.as_deref(), self.options);
        let facts = self.answer(&mut client, &mut patience, spool)?;
        let holds_others = others.as_ref().is_some_and(|others| !others.is_empty());
        self.give_back(client, self.moment.filter(|_| holds_others));
        facts.map_err(|what| format!("SQLite cannot read it: {what}"))
    }

    /// The outer error ends the client, the inner one is SQLite's.
    fn answer(
        &self,
        client: &mut Client,
        patience: &mut Transaction<'_>,
        spool: &Spool,
    ) -> Result<Result<Facts, String>, String> {
        let is_stopped = || self.observer.is_interrupted();
        loop {
            match client.next(&is_stopped).map_err(|error| error.to_string())? {
                Pages::Begun(facts) => patience.begin(&facts),
                Pages::Block(block) => {
                    if !spool.push(block, &|| patience.is_willing(), &|| patience.look())? {
                        return Err("interrupted".to_owned());
                    }
                }
                Pages::Same(count) => {
                    if !spool.push_same(count) {
                        return Err("interrupted".to_owned());
                    }
                }
                Pages::Released => patience.released = true,
                Pages::Failed(what) => return Ok(Err(what)),
                Pages::Facts(facts) => return Ok(Ok(facts)),
            }
        }
    }

    fn remember(&self, path: &[u8], facts: &Facts) {
        let mut state = self.lock();
        if self.named {
            state.facts.clone_from(&facts.values);
            state.facts.entry("moment".to_owned()).or_insert_with(|| "its own".to_owned());
        } else if state.facts.len() < FACTS_COUNT_MAX {
            state.facts.insert(fact_name(path), facts.line());
        } else {
            state.left_out += 1;
        }
    }
}

/// How long transactions may be held open for a store that is too slow.
struct Transaction<'p> {
    options: &'p SqliteOptions,
    path: &'p Path,
    /// Databases besides it whose transactions are open.
    others: &'p [PathBuf],
    /// Each WAL, and how long it was.
    wals: Vec<(&'p Path, u64)>,
    holds_writers: bool,
    begun: Instant,
    released: bool,
}

impl<'p> Transaction<'p> {
    fn new(path: &'p Path, others: Option<&'p [PathBuf]>, options: &'p SqliteOptions) -> Self {
        let others = others.unwrap_or_default();
        Self {
            options,
            path,
            others,
            wals: Vec::new(),
            holds_writers: true,
            begun: Instant::now(),
            released: false,
        }
    }

    fn begin(&mut self, facts: &Facts) {
        self.begun = Instant::now();
        self.holds_writers = facts.get("journal_mode") != Some("wal");
        let others = self.others.iter().map(PathBuf::as_path);
        let all = others.chain((!self.holds_writers).then_some(self.path));
        self.wals = all.map(|path| (path, wal_len(path))).collect();
    }

    fn has_grown(&self, by: u64) -> Option<&Path> {
        let has_grown = |(path, before): &&(&Path, u64)| wal_len(path) > before.saturating_add(by);
        self.wals.iter().find(has_grown).map(|(path, _)| *path)
    }

    /// Writers of a WAL wait for no reader. Whoever empties it does, hence not for long.
    fn is_willing(&self) -> bool {
        (self.released || !self.holds_writers)
            && (self.wals.is_empty() || self.begun.elapsed() < self.options.lock_max)
            && self.has_grown(WAL_UNSEEN_LEN).is_none()
    }

    fn look(&self) -> Result<(), String> {
        if let Some(path) = self.has_grown(WAL_GROWTH_MAX) {
            let of =
                if path == self.path { "its WAL" } else { "the WAL of a database read with it" };
            return Err(format!(
                "the repository is too slow for it: {of} has grown by 1 GiB meanwhile"
            ));
        }
        if !self.released && self.holds_writers && self.begun.elapsed() > self.options.lock_max {
            return Err(format!(
                "the repository is too slow for it: its lock was held for {} s (--lock-max)",
                self.options.lock_max.as_secs()
            ));
        }
        Ok(())
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
