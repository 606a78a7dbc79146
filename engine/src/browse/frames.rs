//! Opened frames shared by many readers: each is opened once while it is in use, each chunk of it proven
//! once, and all of them together stay within a bound.

use std::collections::{HashMap, HashSet};
use std::ops::{Deref, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::model::{ChunkId, NodeRef, PackNumber, Place, Purpose};
use crate::repo::ChunkReader;

/// Plaintext of frames kept, bytes: two files streamed at once with what is read ahead of them.
pub const FRAME_CACHE_LEN_DEFAULT: usize = 64 << 20;

type Key = (PackNumber, u32);

/// The frames of one repository, opened on demand. Callable from several threads.
pub(super) struct Frames<'r> {
    reader: &'r ChunkReader<'r>,
    state: Mutex<State>,
    opened: Condvar,
    len_max: usize,
}

#[derive(Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// Plaintext bytes of the frames that are ready.
    len: usize,
    clock: u64,
}

enum Slot {
    /// A thread opens it; the others wait.
    Opening,
    Ready {
        frame: Arc<Frame>,
        used: u64,
    },
}

#[derive(Default)]
struct Frame {
    plain: Vec<u8>,
    /// Offsets and names of the chunks that were named again.
    proven: Mutex<HashSet<(u32, ChunkId)>>,
}

/// The bytes of a chunk, proven.
pub(super) struct ChunkBytes {
    frame: Arc<Frame>,
    range: Range<usize>,
}

impl Deref for ChunkBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.frame.plain.get(self.range.clone()).unwrap_or_default()
    }
}

impl<'r> Frames<'r> {
    /// Keeps up to `len_max` bytes of plaintext, and always the last frame.
    pub(super) fn new(reader: &'r ChunkReader<'r>, len_max: usize) -> Self {
        Self { reader, state: Mutex::default(), opened: Condvar::new(), len_max }
    }

    pub(super) fn reader(&self) -> &'r ChunkReader<'r> {
        self.reader
    }

    /// Bytes of plaintext kept at most.
    pub(super) fn len_max(&self) -> u64 {
        self.len_max as u64
    }

    /// The length of a chunk of data.
    pub(super) fn len_of(&self, chunk: &NodeRef) -> Result<u64> {
        let places = self.reader.places(&chunk.id)?;
        Ok(places.first().map_or(0, |place| u64::from(place.len)))
    }

    /// The bytes of a chunk of data.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` when no copy is intact.
    pub(super) fn chunk(&self, chunk: &NodeRef) -> Result<ChunkBytes> {
        let places = self.reader.places(&chunk.id)?;
        let first = places.first().ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("chunk {} is in no index segment", chunk.id))
        })?;
        match self.at(chunk, first) {
            // A pack that is gone may have been pruned: the reader looks where its chunks are by now.
            Err(error)
                if error.kind() == Kind::NotFound
                    || error.kind().is_damage() && places.len() > 1 =>
            {
                let plain = self.reader.chunk(chunk)?;
                let range = 0..plain.len();
                let frame = Frame { plain, proven: Mutex::default() };
                Ok(ChunkBytes { frame: Arc::new(frame), range })
            }
            other => other,
        }
    }

    fn at(&self, chunk: &NodeRef, place: &Place) -> Result<ChunkBytes> {
        let frame = self.frame(place)?;
        let is_proven = lock(&frame.proven).contains(&(place.offset, chunk.id));
        if !is_proven {
            let (class, plain) = (chunk.class, frame.plain.as_slice());
            self.reader.checked(class, Purpose::Data, &chunk.id, place, plain)?;
            lock(&frame.proven).insert((place.offset, chunk.id));
        }
        let start = place.offset as usize;
        Ok(ChunkBytes { frame, range: start..start.saturating_add(place.len as usize) })
    }

    fn frame(&self, place: &Place) -> Result<Arc<Frame>> {
        let key = (place.pack, place.frame.position);
        let mut state = lock(&self.state);
        loop {
            let State { slots, clock, .. } = &mut *state;
            *clock += 1;
            match slots.get_mut(&key) {
                Some(Slot::Ready { frame, used }) => {
                    *used = *clock;
                    return Ok(Arc::clone(frame));
                }
                Some(Slot::Opening) => {
                    state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        state.slots.insert(key, Slot::Opening);
        drop(state);
        let mut opening = Opening { frames: self, key, frame: None };
        opening.frame =
            Some(Arc::new(Frame { plain: self.reader.frame(place)?, proven: Mutex::default() }));
        Ok(opening.frame.as_ref().map(Arc::clone).unwrap_or_default())
    }
}

/// A frame being opened; wakes those who wait for it, whatever becomes of it.
struct Opening<'f, 'r> {
    frames: &'f Frames<'r>,
    key: Key,
    frame: Option<Arc<Frame>>,
}

impl Drop for Opening<'_, '_> {
    fn drop(&mut self) {
        let mut state = lock(&self.frames.state);
        match self.frame.take() {
            Some(frame) => state.insert(self.key, frame, self.frames.len_max),
            None => {
                state.slots.remove(&self.key);
            }
        }
        drop(state);
        self.frames.opened.notify_all();
    }
}

impl State {
    fn insert(&mut self, key: Key, frame: Arc<Frame>, len_max: usize) {
        self.clock += 1;
        self.len += frame.plain.len();
        self.slots.insert(key, Slot::Ready { frame, used: self.clock });
        while self.len > len_max {
            let ready = self.slots.iter().filter_map(|(key, slot)| match slot {
                Slot::Ready { frame, used } => Some((*used, *key, frame.plain.len())),
                Slot::Opening => None,
            });
            let Some((_, oldest, len)) = ready.min_by_key(|(used, ..)| *used) else { return };
            if oldest == key {
                return;
            }
            self.slots.remove(&oldest);
            self.len -= len;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
