//! Entries of a source, and the bytes of one file.

use std::io::Write;
use std::sync::Arc;

use super::{ChunkReader, Repository};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Entries, Union, chunks_of, decode_xattrs};
use crate::model::{Class, Entry, EntryKind, NodeRef, Source, Xattr, Xattrs};
use crate::observe::Observer;

/// Zeros written for a hole at once, bytes.
const ZEROS_LEN: usize = 64 << 10;

impl Repository {
    /// A reader over the whole index.
    ///
    /// # Errors
    /// As [`Repository::load_index`].
    pub fn reader(&self, observer: &dyn Observer) -> Result<ChunkReader<'_>> {
        Ok(ChunkReader::new(self, Arc::new(self.load_index(observer)?)))
    }

    /// True if the key in use may read what the source holds.
    #[must_use]
    pub fn may_read(&self, source: &Source) -> bool {
        source.root.is_none_or(|root| root.class == Class::Ordinary) || self.keyring().has_secrets()
    }
}

impl ChunkReader<'_> {
    /// Calls `each` for `folder` itself and every entry below it that `sources` have, in order; the empty
    /// folder is everything. Of a path that several have, the first source counts. Stops without error
    /// when `each` says so.
    ///
    /// # Errors
    /// Those of reading the manifest, and of `each`.
    pub fn entries(
        &self,
        sources: &[&Source],
        folder: &[u8],
        each: &mut dyn FnMut(&Source, Entry) -> Result<bool>,
    ) -> Result<()> {
        let get = |node: &NodeRef| self.node(node);
        let held = sources.iter().filter_map(|source| Some((*source, source.root?)));
        let (sources, streams): (Vec<_>, Vec<_>) =
            held.map(|(source, root)| (source, Entries::within(&root, folder, &get))).unzip();
        let mut before = None;
        for item in Union::new(streams) {
            let (number, entry) = item?;
            if before.as_ref() == Some(&entry.path) {
                continue;
            }
            before = Some(entry.path.clone());
            if !each(sources[number], entry)? {
                break;
            }
        }
        Ok(())
    }

    /// Writes a file's bytes to `out`, holes as zeros.
    ///
    /// # Errors
    /// `Input` when the entry is no file; those of reading; `Unavailable` or as the system says for `out`.
    pub fn write_file(&self, entry: &Entry, out: &mut dyn Write) -> Result<()> {
        let EntryKind::File { size, content, holes } = &entry.kind else {
            let what = format!("{:?} is not a file", entry.path);
            return Err(Error::new(Kind::Input, what));
        };
        let get = |node: &NodeRef| self.node(node);
        let mut out = Sparse { out, at: 0, holes: holes.iter() };
        for run in chunks_of(content, &get) {
            let (node, repeat) = run?;
            let bytes = self.chunk(&node)?;
            for _ in 0..repeat {
                out.data(&bytes)?;
                if out.at > *size {
                    let what = format!("{:?}: its content is longer than its size", entry.path);
                    return Err(Error::new(Kind::Corrupt, what));
                }
            }
        }
        out.finish(*size)
    }
}

impl ChunkReader<'_> {
    /// The extended attributes of an entry, wherever they are stored.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` when a stored list is damaged or gone.
    pub fn attributes(&self, xattrs: &Xattrs) -> Result<Vec<Xattr>> {
        let (len, chunks) = match xattrs {
            Xattrs::Inline(list) => return Ok(list.clone()),
            Xattrs::Stored { len, chunks } => (*len, chunks),
        };
        let mut list = Vec::new();
        for chunk in chunks {
            list.extend_from_slice(&self.chunk(chunk)?);
            if list.len() as u64 > len {
                break;
            }
        }
        if list.len() as u64 != len {
            let what = format!("attributes have {} bytes, the entry says {len}", list.len());
            return Err(Error::new(Kind::Corrupt, what));
        }
        Ok(decode_xattrs(&list)?)
    }
}

/// Puts holes back between the bytes of a file.
struct Sparse<'o, 'h> {
    out: &'o mut dyn Write,
    at: u64,
    holes: std::slice::Iter<'h, crate::model::Hole>,
}

impl Sparse<'_, '_> {
    fn data(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let next = self.holes.as_slice().first();
            let room = next.map_or(u64::MAX, |hole| hole.offset.saturating_sub(self.at));
            if room == 0 {
                self.hole()?;
                continue;
            }
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(len);
            self.write(now)?;
            bytes = later;
        }
        Ok(())
    }

    fn hole(&mut self) -> Result<()> {
        if let Some(hole) = self.holes.next() {
            self.zeros(hole.len)?;
        }
        Ok(())
    }

    fn finish(mut self, size: u64) -> Result<()> {
        while self.holes.as_slice().first().is_some_and(|hole| hole.offset == self.at) {
            self.hole()?;
        }
        if self.at == size {
            return Ok(());
        }
        let what = format!("the content has {} bytes, the entry says {size}", self.at);
        Err(Error::new(Kind::Corrupt, what))
    }

    fn zeros(&mut self, mut len: u64) -> Result<()> {
        let zeros = [0; ZEROS_LEN];
        while len > 0 {
            let now = usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS_LEN);
            self.write(zeros.get(..now).unwrap_or_default())?;
            len -= now as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| Error::io("writing the output", error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
