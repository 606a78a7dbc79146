//! The worker: answers requests on standard input until it ends.

use std::ffi::OsStr;
use std::io::{self, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::capture::{self, Failure, Given};
use super::wire::{self, BLOCK_LEN};

/// Answers requests until standard input ends. Nothing else may be open in the process: see the
/// module.
///
/// # Errors
/// When the client has gone.
pub fn serve() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut out = io::stdout().lock();
    while let Some((kind, payload)) = wire::receive(&mut input)? {
        let answer = match kind {
            wire::PROBE => probe(&mut out, path(&payload)),
            wire::READ => match payload.split_first_chunk::<8>() {
                Some((wait, name)) => {
                    let wait = Duration::from_millis(u64::from_le_bytes(*wait));
                    read(&mut out, path(name), wait)
                }
                None => Err(Failure::Database("a request is cut off".to_owned())),
            },
            _ => Err(Failure::Database("an unknown request".to_owned())),
        };
        match answer {
            Ok(()) => {}
            Err(Failure::Client(error)) => return Err(error),
            Err(Failure::Refused(what)) => wire::send(&mut out, wire::REFUSED, what.as_bytes())?,
            Err(Failure::Database(what)) => wire::send(&mut out, wire::FAILED, what.as_bytes())?,
        }
    }
    Ok(())
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn probe(out: &mut impl Write, path: &Path) -> Result<(), Failure> {
    capture::probe(path)?;
    wire::send(out, wire::FINE, &[]).map_err(Failure::Client)
}

fn read(out: &mut impl Write, path: &Path, wait: Duration) -> Result<(), Failure> {
    let mut block = Vec::with_capacity(BLOCK_LEN);
    let mut give = |given: Given<'_>| -> io::Result<()> {
        let more = if let Given::Page(page) = given { page.len() } else { BLOCK_LEN };
        if block.len() + more > BLOCK_LEN && !block.is_empty() {
            wire::send(out, wire::PAGES, &block)?;
            block.clear();
        }
        match given {
            Given::Begun(facts) => wire::send(out, wire::BEGUN, &facts.encode()),
            Given::Page(page) => {
                block.extend_from_slice(page);
                Ok(())
            }
            Given::Released => wire::send(out, wire::RELEASED, &[]),
        }
    };
    let facts = capture::read(path, wait, &mut give)?;
    wire::send(out, wire::FACTS, &facts.encode()).map_err(Failure::Client)
}
