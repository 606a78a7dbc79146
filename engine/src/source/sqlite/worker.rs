//! The worker: answers requests on standard input until it ends.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::capture::{self, Begun, Failure, Given};
use super::held::Held;
use super::image::{MEMORY_LEN, MakeShelf};
use super::moment::{self, Group};
use super::monitor::Monitors;
use super::pages::Remembered;
use super::request::{self, Request};
use super::wire;
use crate::source::open_files::raise_open_files;

/// Why a database whose writers wait for its readers is not kept.
const NO_ROOM: &str = "its pages do not fit where they would wait for the others";

/// Answers requests until standard input ends; pages that must wait go to what `make` gives. No
/// database may be open in the process elsewhere: see the module.
///
/// # Errors
/// When the client has gone.
pub fn serve(make: MakeShelf<'_>) -> io::Result<()> {
    // Each database takes several.
    raise_open_files();
    let mut input = BufReader::new(io::stdin().lock());
    let mut out = io::stdout().lock();
    let mut worker = Worker {
        make,
        held: HashMap::new(),
        monitors: Monitors::default(),
        remembered: HashMap::new(),
    };
    while let Some((kind, payload)) = wire::receive(&mut input)? {
        match worker.answer(kind, &payload, &mut out) {
            Ok(()) => {}
            Err(Failure::Client(error)) => return Err(error),
            Err(Failure::Refused(what)) => {
                wire::send(&mut out, wire::REFUSED, what.as_bytes())?;
            }
            Err(Failure::Database(what)) => wire::send(&mut out, wire::FAILED, what.as_bytes())?,
        }
    }
    Ok(())
}

struct Worker<'m> {
    make: MakeShelf<'m>,
    /// Databases whose moment is fixed already.
    held: HashMap<PathBuf, Begun>,
    monitors: Monitors,
    /// States of databases as they were given last, of those that are asked for again.
    remembered: HashMap<PathBuf, Remembered>,
}

impl Worker<'_> {
    fn answer(&mut self, kind: u8, payload: &[u8], out: &mut impl Write) -> Result<(), Failure> {
        match kind {
            wire::PROBE => {
                capture::probe(Path::new(OsStr::from_bytes(payload)))?;
                wire::send(out, wire::FINE, &[]).map_err(Failure::Client)
            }
            wire::HOLD => {
                let held = self.hold(request::decode_all(payload).map_err(Failure::Client)?);
                wire::send(out, wire::HELD, &held.encode()).map_err(Failure::Client)
            }
            wire::LET_GO => {
                self.held.clear();
                wire::send(out, wire::FINE, &[]).map_err(Failure::Client)
            }
            wire::STATES => {
                let requests = request::decode_all(payload).map_err(Failure::Client)?;
                let paths: Vec<&Path> = requests.iter().map(|it| it.path.as_path()).collect();
                let lines = self.monitors.states(&paths).join("\n");
                wire::send(out, wire::STATE_LINES, lines.as_bytes()).map_err(Failure::Client)
            }
            wire::READ => self.read(Request::decode(payload).map_err(Failure::Client)?, out),
            _ => Err(Failure::Database("an unknown request".to_owned())),
        }
    }

    /// Fixes one moment for several databases, which are read later.
    fn hold(&mut self, requests: Vec<Request>) -> Held {
        self.held.clear();
        let Group { begun, mut left_out, tries } = moment::begin(requests);
        let memory_len = MEMORY_LEN / begun.len().max(1);
        let mut kept = Vec::new();
        // One that fails is read anew, of a moment of its own, or fails again by name. So is one whose
        // writers would wait until its turn comes.
        for mut begun in begun {
            match begun.keep(self.make, memory_len) {
                Ok(true) => kept.push(begun),
                Ok(false) => left_out.push((begun.request.path, NO_ROOM.to_owned())),
                Err(failure) => left_out.push((begun.request.path, failure.what())),
            }
        }
        let count = kept.len();
        for mut begun in kept {
            if count > 1 {
                begun.tell_moment(count);
            }
            self.held.insert(begun.request.path.clone(), begun);
        }
        Held { tries, count: u32::try_from(count).unwrap_or(u32::MAX), left_out }
    }

    fn read(&mut self, request: Request, out: &mut impl Write) -> Result<(), Failure> {
        let (path, chunk_len) = (request.path.clone(), request.chunk_len);
        let begun = match self.held.remove(&request.path) {
            Some(mut begun) => {
                (begun.request.known, begun.request.chunk_len) = (request.known, chunk_len);
                begun
            }
            None => {
                let mut begun = Begun::open(request)?;
                begun.keep(self.make, MEMORY_LEN)?;
                begun
            }
        };
        let mut give = |given: Given<'_>| match given {
            Given::Begun(facts) => wire::send(out, wire::BEGUN, &facts.encode()),
            Given::Block(block) => wire::send(out, wire::PAGES, block),
            Given::Same(count) => wire::send(out, wire::SAME, &count.to_le_bytes()),
            Given::Released => wire::send(out, wire::RELEASED, &[]),
        };
        let before = self.remembered.remove(&path).unwrap_or_default();
        let (facts, now) = begun.read(before, &mut give)?;
        if chunk_len > 0 {
            self.remembered.insert(path, now);
        }
        wire::send(out, wire::FACTS, &facts.encode()).map_err(Failure::Client)
    }
}
