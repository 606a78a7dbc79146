//! What worker and client say to each other: a kind, a length, a payload.

use std::io::{self, Read, Write};

/// Bytes of a block of pages, and bound of every payload.
pub const BLOCK_LEN: usize = 1 << 20;

/// Client to worker: is this a database SQLite can read? The payload is a path.
pub(super) const PROBE: u8 = b'p';
/// Client to worker: fix one moment for several databases. The payload is their requests.
pub(super) const HOLD: u8 = b'h';
/// Client to worker: what tells the states of databases apart? The payload is their requests.
pub(super) const STATES: u8 = b's';
/// Client to worker: end all transactions that are held, and forget what was read for them.
pub(super) const LET_GO: u8 = b'g';
/// Client to worker: give its pages. The payload is a request.
pub(super) const READ: u8 = b'r';
/// Worker to client: SQLite takes it.
pub(super) const FINE: u8 = b'o';
/// Worker to client: how many databases are held, after how many tries, and which are not.
pub(super) const HELD: u8 = b'm';
/// Worker to client: one line for each database.
pub(super) const STATE_LINES: u8 = b'l';
/// Worker to client: the transaction has begun; the facts known by now.
pub(super) const BEGUN: u8 = b'b';
/// Worker to client: a block of pages.
pub(super) const PAGES: u8 = b'd';
/// Worker to client: how many chunks follow that are those of the known state.
pub(super) const SAME: u8 = b'=';
/// Worker to client: the transaction has ended; locks are gone. Pages may follow.
pub(super) const RELEASED: u8 = b'e';
/// Worker to client: the facts, which end the answer.
pub(super) const FACTS: u8 = b'f';
/// Worker to client: SQLite does not take it, and why; this ends the answer.
pub(super) const REFUSED: u8 = b'n';
/// Worker to client: why not, which ends the answer.
pub(super) const FAILED: u8 = b'x';

pub(super) fn send(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    if payload.len() > BLOCK_LEN {
        return Err(io::Error::other("a message to the reader of SQLite is too long"));
    }
    let len = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut head = [kind, 0, 0, 0, 0];
    head[1..].copy_from_slice(&len.to_le_bytes());
    out.write_all(&head)?;
    out.write_all(payload)?;
    out.flush()
}

/// The next message; none at the end.
pub(super) fn receive(input: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut kind = [0];
    if input.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > BLOCK_LEN {
        return Err(io::Error::other("a message is too long"));
    }
    let mut payload = vec![0; len];
    input.read_exact(&mut payload)?;
    Ok(Some((kind[0], payload)))
}
