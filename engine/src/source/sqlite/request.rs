//! What is asked of a reading, on its way to the worker.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::facts::Facts;

/// How much SQLite checks of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// Nothing.
    None,
    /// Every page and row, but not whether indexes agree with their tables: `quick_check`.
    #[default]
    Quick,
    /// Everything, and whether foreign keys lead to something: `integrity_check`.
    Full,
}

/// How a database is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub path: PathBuf,
    /// How long to wait for locks, and to hold up writers of a rollback-mode database.
    pub wait: Duration,
    pub check: Check,
    /// Rows and hash of every table are measured.
    pub tables: bool,
    /// Free pages are overwritten in what is read.
    pub zero_free_pages: bool,
    /// Where pages may wait, sealed; none for the system's temporary folder.
    pub folder: Option<PathBuf>,
    /// What was measured before: equal pages are not checked again.
    pub known: Facts,
    /// Runs of this many bytes are not sent if they are those of the state that is known; 0 if all are. A
    /// multiple of a group.
    pub chunk_len: u32,
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let wait = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        let check = match self.check {
            Check::None => 0,
            Check::Quick => 1,
            Check::Full => 2,
        };
        let mut out = wait.to_le_bytes().to_vec();
        out.extend([check, u8::from(self.tables), u8::from(self.zero_free_pages)]);
        out.extend(self.chunk_len.to_le_bytes());
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        put_part(&mut out, folder.as_os_str().as_bytes());
        put_part(&mut out, &self.known.encode());
        out.extend(self.path.as_os_str().as_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut rest = bytes;
        let wait = Duration::from_millis(u64::from_le_bytes(take(&mut rest)?));
        let [check, tables, zero_free_pages] = take(&mut rest)?;
        let chunk_len = u32::from_le_bytes(take(&mut rest)?);
        let folder = part(&mut rest)?;
        let known = Facts::decode(part(&mut rest)?);
        let check = match check {
            0 => Check::None,
            1 => Check::Quick,
            _ => Check::Full,
        };
        Ok(Self {
            path: to_path(rest),
            wait,
            check,
            tables: tables != 0,
            zero_free_pages: zero_free_pages != 0,
            folder: (!folder.is_empty()).then(|| to_path(folder)),
            known,
            chunk_len,
        })
    }
}

/// Several requests, each with its length before it.
pub(super) fn encode_all(requests: &[Request]) -> Vec<u8> {
    let with_len = |request: &Request| {
        let bytes = request.encode();
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        [&len.to_le_bytes(), &bytes[..]].concat()
    };
    requests.iter().flat_map(with_len).collect()
}

pub(super) fn decode_all(bytes: &[u8]) -> io::Result<Vec<Request>> {
    let (mut rest, mut requests) = (bytes, Vec::new());
    while !rest.is_empty() {
        requests.push(Request::decode(part(&mut rest)?)?);
    }
    Ok(requests)
}

/// Adds bytes with their length before them.
pub(super) fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    // It is short: what is too long to be sent is refused as a whole.
    out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(part);
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or_else(cut_off)?;
    *rest = after;
    Ok(*first)
}

pub(super) fn part<'b>(rest: &mut &'b [u8]) -> io::Result<&'b [u8]> {
    let len = u32::from_le_bytes(take(rest)?) as usize;
    let (first, after) = rest.split_at_checked(len).ok_or_else(cut_off)?;
    *rest = after;
    Ok(first)
}

pub(super) fn cut_off() -> io::Error {
    io::Error::other("a request is cut off")
}

pub(super) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_over_as_they_are() {
        let request = Request {
            path: "/srv/a\n=b.db".into(),
            wait: Duration::from_secs(10),
            check: Check::Full,
            tables: true,
            zero_free_pages: false,
            folder: Some("/var/cache".into()),
            known: Facts::decode(b"rows=1\nblake3=ab\n"),
            chunk_len: 65_536,
        };
        let other =
            Request { path: "/b".into(), check: Check::None, folder: None, ..request.clone() };
        let all = [request, other];
        let bytes = encode_all(&all);
        assert_eq!(decode_all(&bytes).unwrap(), all);
        for len in 1..bytes.len() {
            // A cut between two requests leaves one.
            let _ = decode_all(&bytes[..len]);
        }
        assert!(decode_all(&bytes[..10]).is_err());
    }
}
