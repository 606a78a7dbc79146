//! A stream of bytes from elsewhere: standard input, or the output of a command.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::error::SourceError;
use crate::model::{Content, Entry, EntryKind, EntryPath, Owner, Time, Xattrs};

/// A stream that becomes one file of a snapshot.
pub struct Stream {
    path: EntryPath,
    reader: Box<dyn Read + Send>,
    read_bytes: u64,
}

impl fmt::Debug for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Stream({:?}, {} bytes read)", self.path, self.read_bytes)
    }
}

impl Stream {
    /// A stream that is stored under `name`: a path, slashes in front are left out.
    ///
    /// # Errors
    /// If the name cannot be a path of an entry.
    pub fn new(name: &[u8], reader: Box<dyn Read + Send>) -> Result<Self, SourceError> {
        let slash_count = name.iter().take_while(|byte| **byte == b'/').count();
        let path = EntryPath::new(&name[slash_count..])
            .map_err(|_| SourceError::new(name, "cannot be the name of a stream"))?;
        Ok(Self { path, reader, read_bytes: 0 })
    }

    /// Where its bytes are stored.
    #[must_use]
    pub fn path(&self) -> &EntryPath {
        &self.path
    }

    /// Bytes read so far.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// What was measured: the length in bytes.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("bytes".to_owned(), self.read_bytes.to_string())])
    }

    /// The entry of the bytes read so far, with `content`; readable by `owner` only.
    #[must_use]
    pub fn entry(&self, content: Content, owner: Arc<Owner>, now: Time) -> Entry {
        let (size, holes) = (self.read_bytes, Vec::new());
        Entry {
            path: self.path.clone(),
            kind: EntryKind::File { size, content, holes },
            mode: 0o600,
            owner,
            mtime: now,
            ctime: now,
            inode: 0,
            racy: false,
            link_group: 0,
            xattrs: Xattrs::default(),
        }
    }
}

impl Read for Stream {
    /// Reads on; an interrupted call is made again.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(len) => {
                    self.read_bytes += len as u64;
                    return Ok(len);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_counts_its_bytes_and_becomes_an_entry() {
        let mut stream = Stream::new(b"//dumps/app.sql", Box::new(&b"select 1;"[..])).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), stream.read_bytes()), ("select 1;", 9));
        assert_eq!(stream.facts()["bytes"], "9");
        let content = Content::Chunks(Vec::new());
        let entry = stream.entry(content, Arc::default(), Time { secs: 5, nanos: 6 });
        assert_eq!((entry.path.as_bytes(), entry.file_size()), (&b"dumps/app.sql"[..], 9));
    }

    #[test]
    fn unsound_names_are_refused() {
        for name in [&b""[..], b"/", b"a/../b", b"a//b", b"a\0"] {
            assert!(Stream::new(name, Box::new(io::empty())).is_err(), "{name:?}");
        }
    }
}
