//! The client: starts a worker and takes its answers.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::held::Held;
use super::monitor::Lost;
use super::request::{self, Request};
use super::wire;
use super::{Facts, SqliteOptions, WORKER};
use crate::source::pipe;

/// A worker process, which reads one database at a time. Dropping it ends the process.
#[derive(Debug)]
pub struct Client {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
    /// Where the worker puts what must wait.
    folder: Option<PathBuf>,
    /// Databases whose last state the worker remembers.
    remembered: HashSet<PathBuf>,
    /// There may be databases whose moment was fixed and that were not read.
    holds: bool,
    lost: Lost,
}

/// What is known of a database that is read again.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What was measured of the last sealed state.
    pub facts: Facts,
    /// Bytes of the chunks that state was cut into, by which what is the same is left out; 0 to have all.
    pub chunk_len: u32,
}

/// Workers that wait for work.
#[derive(Debug, Default)]
pub struct Clients(Mutex<Vec<Client>>);

impl Clients {
    /// A worker, best the one that read the database at `path` last.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn take(
        &self,
        path: &Path,
        options: &SqliteOptions,
        folder: Option<&Path>,
    ) -> io::Result<Client> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let best = idle.iter().position(|client| client.remembered.contains(path));
        let any = idle.len().checked_sub(1);
        match best.or(any) {
            Some(at) => Ok(idle.swap_remove(at)),
            None => Client::start(options, folder),
        }
    }

    /// Takes a worker back that has answered everything. Whatever it still holds is of a moment that is over.
    pub fn give_back(&self, mut client: Client) {
        if client.let_go().is_err() {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}

/// Whether SQLite reads a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is a database.
    Fine,
    /// It is none, or broken beyond reading; what SQLite says.
    Refused(String),
    /// It is one that cannot be read now; why.
    Failed(String),
}

/// A part of the answer to a reading.
#[derive(Debug)]
pub enum Pages {
    /// The transaction has begun; what is known of the database by now.
    Begun(Facts),
    /// The next pages.
    Block(Vec<u8>),
    /// So many chunks that are those of the state that was known.
    Same(u32),
    /// All pages were given; no lock is held any more.
    Released,
    /// What was measured: the end.
    Facts(Facts),
    /// It cannot be read, and why: the end.
    Failed(String),
}

impl Client {
    /// Starts a worker, which knows nothing of this process: no environment, no open file. What must wait
    /// there goes to `folder`, or else where the system has temporary files.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(options: &SqliteOptions, folder: Option<&Path>) -> io::Result<Self> {
        let mut command = Command::new(&options.program);
        command.arg(WORKER).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let missing = || io::Error::other("no pipe");
        let requests = child.stdin.take().ok_or_else(missing)?;
        let answers = child.stdout.take().ok_or_else(missing)?;
        let (folder, remembered) = (folder.map(Path::to_owned), HashSet::new());
        Ok(Self {
            child,
            requests,
            answers,
            folder,
            remembered,
            holds: false,
            lost: Lost::default(),
        })
    }

    /// Asks whether SQLite takes the file for a database.
    ///
    /// # Errors
    /// If the worker has died, or `is_stopped` says so. The client is of no more use then.
    pub fn probe(&mut self, path: &Path, is_stopped: &dyn Fn() -> bool) -> io::Result<Verdict> {
        wire::send(&mut self.requests, wire::PROBE, path.as_os_str().as_bytes())?;
        let (kind, payload) = self.answer(is_stopped)?;
        let text = || String::from_utf8_lossy(&payload).into_owned();
        match kind {
            wire::FINE => Ok(Verdict::Fine),
            wire::REFUSED => Ok(Verdict::Refused(text())),
            wire::FAILED => Ok(Verdict::Failed(text())),
            _ => Err(unexpected()),
        }
    }

    /// Fixes one moment for several databases. [`Client::read`] gives them as they were then.
    ///
    /// Tells how many show it, and which do not.
    ///
    /// # Errors
    /// If the worker has died, or `is_stopped` says so. The client is of no more use then.
    pub fn hold(
        &mut self,
        paths: &[PathBuf],
        options: &SqliteOptions,
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<Held> {
        // What is known of each comes when it is read.
        let requests: Vec<_> =
            paths.iter().map(|it| self.request(it.clone(), Known::default(), options)).collect();
        self.remembered.extend(paths.iter().cloned());
        self.holds = true;
        wire::send(&mut self.requests, wire::HOLD, &request::encode_all(&requests))?;
        match self.answer(is_stopped)? {
            (wire::HELD, payload) => Held::decode(&payload),
            _ => Err(unexpected()),
        }
    }

    /// Ends what [`Client::hold`] began.
    fn let_go(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.holds) {
            return Ok(());
        }
        wire::send(&mut self.requests, wire::LET_GO, &[])?;
        match self.answer(&|| false)? {
            (wire::FINE, _) => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// What tells the state of each database from those before and after it: the text is another one
    /// once somebody has written. None where that cannot be told now.
    ///
    /// # Errors
    /// If the worker has died, or `is_stopped` says so. The client is of no more use then.
    pub fn states(
        &mut self,
        paths: &[PathBuf],
        options: &SqliteOptions,
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<Vec<Option<String>>> {
        let requests: Vec<_> =
            paths.iter().map(|it| self.request(it.clone(), Known::default(), options)).collect();
        wire::send(&mut self.requests, wire::STATES, &request::encode_all(&requests))?;
        let (wire::STATE_LINES, payload) = self.answer(is_stopped)? else {
            return Err(unexpected());
        };
        let lines = String::from_utf8_lossy(&payload).into_owned();
        let states: Vec<_> = paths.iter().cloned().zip(lines.lines().map(str::to_owned)).collect();
        if states.len() < paths.len() {
            return Err(unexpected());
        }
        Ok(self.lost.sift(states, Instant::now()))
    }

    /// Those whose states could not be told for some time, and why: each once, until it can be told again.
    pub fn take_lost(&mut self) -> Vec<(PathBuf, String)> {
        self.lost.take()
    }

    /// Begins to read; [`Client::next`] gives the answer. What is `known` of the same pages is not
    /// measured again.
    ///
    /// # Errors
    /// If the worker has died.
    pub fn read(&mut self, path: &Path, known: Known, options: &SqliteOptions) -> io::Result<()> {
        let request = self.request(path.to_owned(), known, options);
        if request.chunk_len > 0 {
            self.remembered.insert(request.path.clone());
        }
        wire::send(&mut self.requests, wire::READ, &request.encode())
    }

    fn request(&self, path: PathBuf, known: Known, options: &SqliteOptions) -> Request {
        Request {
            path,
            wait: options.lock_max,
            check: options.check,
            tables: options.tables,
            zero_free_pages: options.zero_free_pages,
            folder: self.folder.clone(),
            known: known.facts,
            chunk_len: known.chunk_len,
        }
    }

    /// The next part of the answer.
    ///
    /// # Errors
    /// If the worker has died, or `is_stopped` says so. The client is of no more use then.
    pub fn next(&mut self, is_stopped: &dyn Fn() -> bool) -> io::Result<Pages> {
        let (kind, payload) = self.answer(is_stopped)?;
        match kind {
            wire::BEGUN => Ok(Pages::Begun(Facts::decode(&payload))),
            wire::PAGES => Ok(Pages::Block(payload)),
            wire::SAME => {
                let count = payload.try_into().map_err(|_| unexpected())?;
                Ok(Pages::Same(u32::from_le_bytes(count)))
            }
            wire::RELEASED => Ok(Pages::Released),
            wire::FACTS => Ok(Pages::Facts(Facts::decode(&payload))),
            wire::REFUSED | wire::FAILED => {
                Ok(Pages::Failed(String::from_utf8_lossy(&payload).into_owned()))
            }
            _ => Err(unexpected()),
        }
    }

    fn answer(&mut self, is_stopped: &dyn Fn() -> bool) -> io::Result<(u8, Vec<u8>)> {
        let mut waiting = Waiting { pipe: &self.answers, is_stopped };
        wire::receive(&mut waiting)?
            .ok_or_else(|| io::Error::other("the reader of SQLite has died"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It holds nothing but read locks, which the kernel takes from it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Waiting<'w> {
    pipe: &'w ChildStdout,
    is_stopped: &'w dyn Fn() -> bool,
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        pipe::read(self.pipe, buffer, self.is_stopped)
    }
}

fn unexpected() -> io::Error {
    io::Error::other("the reader of SQLite answers something else")
}
