//! Packs of old bytes in the making.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use super::cached::FILE_COUNT_MAX;
use crate::cache::{Cache, Draft, Shelf};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Class, Entropy, Purpose};
use crate::pack::{NewFrame, PackBuilder, SealedFrame};
use crate::repo::Repository;

/// As if unused for so long is what was only just kept: it goes before what was used since. Of a source that
/// is longer than the cache, what is kept at its end would else push out its begin, which is used next.
const KEPT_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Chunks after which a pack is finished, well below the limit of the format.
const PACK_CHUNK_COUNT: usize = 65_536;

/// Puts frames into packs of the cache, one after the other.
pub(super) struct Keeper<'k> {
    repo: &'k Repository,
    cache: &'k Cache,
    /// Bytes of all of them at most, those of other processes included; and of one, about.
    bytes_max: u64,
    pack_len: u64,
    /// Bytes that may still be kept: beyond, a run would only drop what it has kept itself.
    left: u64,
    /// What this run has kept.
    own: HashSet<String>,
    entropy: &'k Entropy,
    open: Option<OpenPack>,
    rooms: [Vec<u8>; 2],
}

struct OpenPack {
    builder: PackBuilder,
    draft: Draft,
}

impl<'k> Keeper<'k> {
    pub(super) fn new(
        repo: &'k Repository,
        cache: &'k Cache,
        (bytes_max, pack_len): (u64, u64),
        entropy: &'k Entropy,
    ) -> Self {
        let (open, rooms) = (None, Default::default());
        let (left, own) = (bytes_max, HashSet::new());
        Self { repo, cache, bytes_max, pack_len, left, own, entropy, open, rooms }
    }

    /// Adds a frame, if it may be read alone; the bytes that the cache has more of now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn add(&mut self, frame: NewFrame) -> Result<u64> {
        let is_base = frame.prefix.is_none() && frame.bases.is_empty();
        if !is_base || frame.compressed.plain_len > limits::PREFIX_LEN_MAX || self.left == 0 {
            return Ok(0);
        }
        let mut pack = match self.open.take() {
            Some(pack) => pack,
            None => match self.begin()? {
                Some(pack) => pack,
                None => {
                    self.left = 0;
                    return Ok(0);
                }
            },
        };
        let placed = pack.builder.place(frame)?;
        let sealed = placed.seal(self.repo.keyring(), std::mem::take(&mut self.rooms))?;
        let SealedFrame { bytes, rooms: [payload, _] } = sealed;
        pack.draft.write_all(&bytes).map_err(unwritten)?;
        pack.builder.append(&bytes);
        self.rooms = [bytes, payload];
        let is_full =
            pack.builder.len() >= self.pack_len || pack.builder.chunk_count() >= PACK_CHUNK_COUNT;
        self.open = Some(pack);
        if is_full { self.finish() } else { Ok(0) }
    }

    /// Gives the open pack its name, if there is one; the bytes that the cache has more of now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(&mut self) -> Result<u64> {
        let Some(OpenPack { builder, mut draft }) = self.open.take() else { return Ok(0) };
        let (tail, info) = builder.finish(self.repo.keyring())?;
        draft.write_all(&tail).and_then(|()| draft.sync()).map_err(unwritten)?;
        let Some(before) = self.bytes_max.checked_sub(info.pack_len) else { return Ok(0) };
        let gone = self.cache.trim(Shelf::Bases, before, FILE_COUNT_MAX - 1);
        let name = info.id.to_string();
        if !self.cache.keep(draft, Shelf::Bases, &name) {
            self.left = 0;
            return Ok(0);
        }
        self.cache.put_behind(Shelf::Bases, &name, KEPT_AGE);
        // What a further pack takes is not to be taken from this run's.
        self.left = self.left.saturating_sub(info.pack_len);
        if self.left < 2 * self.pack_len || gone.iter().any(|name| self.own.contains(name)) {
            self.left = 0;
        }
        self.own.insert(name);
        Ok(info.pack_len)
    }

    /// None if the cache gives no file, which it has noted.
    fn begin(&self) -> Result<Option<OpenPack>> {
        let keyring = self.repo.keyring();
        let sealer = keyring.new_pack(self.entropy, Class::Ordinary, Purpose::Data)?;
        let builder = PackBuilder::new(sealer);
        let Some(mut draft) = self.cache.draft() else { return Ok(None) };
        draft.write_all(&builder.header()).map_err(unwritten)?;
        Ok(Some(OpenPack { builder, draft }))
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::io("writing a file", error)
}
