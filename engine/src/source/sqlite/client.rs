//! The client: starts a worker and takes its answers.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::monitor::BUSY;
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
    /// What every reading is asked for; the path is another each time.
    request: Request,
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
        let request = Request {
            path: PathBuf::new(),
            wait: options.lock_max,
            check: options.check,
            tables: options.tables,
            zero_free_pages: options.zero_free_pages,
            folder: folder.map(Path::to_owned),
            known: Facts::default(),
        };
        Ok(Self { child, requests, answers, request })
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

    /// Fixes one moment for several databases, each with what is known of it. [`Client::read`] gives them
    /// as they were then.
    ///
    /// Tells how many there are (`databases`), none if no moment was found, and after how many `tries`.
    ///
    /// # Errors
    /// If the worker has died, or `is_stopped` says so. The client is of no more use then.
    pub fn hold(
        &mut self,
        databases: Vec<(PathBuf, Facts)>,
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<Facts> {
        let requests = databases.into_iter().map(|(path, known)| self.request_for(path, known));
        let requests: Vec<_> = requests.collect();
        wire::send(&mut self.requests, wire::HOLD, &request::encode_all(&requests))?;
        match self.answer(is_stopped)? {
            (wire::HELD, payload) => Ok(Facts::decode(&payload)),
            _ => Err(unexpected()),
        }
    }

    /// What tells the state of each database from those before and after it: the text is another one
    /// once somebody has written. None where that cannot be told now, since somebody writes.
    ///
    /// # Errors
    /// If the worker has died, or `is_stopped` says so. The client is of no more use then.
    pub fn states(
        &mut self,
        paths: &[PathBuf],
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<Vec<Option<String>>> {
        let requests: Vec<_> =
            paths.iter().map(|path| self.request_for(path.clone(), Facts::default())).collect();
        wire::send(&mut self.requests, wire::STATES, &request::encode_all(&requests))?;
        let (wire::STATE_LINES, payload) = self.answer(is_stopped)? else {
            return Err(unexpected());
        };
        let lines = String::from_utf8_lossy(&payload).into_owned();
        let states = lines.lines().map(|line| (line != BUSY).then(|| line.to_owned()));
        Ok(states.collect())
    }

    /// Begins to read; [`Client::next`] gives the answer. What is `known` of the same pages is not
    /// measured again.
    ///
    /// # Errors
    /// If the worker has died.
    pub fn read(&mut self, path: &Path, known: Facts) -> io::Result<()> {
        let request = self.request_for(path.to_owned(), known);
        wire::send(&mut self.requests, wire::READ, &request.encode())
    }

    fn request_for(&self, path: PathBuf, known: Facts) -> Request {
        Request { path, known, ..self.request.clone() }
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
