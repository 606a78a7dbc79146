//! Copying what is needed of packs into new ones.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

use super::stored::{Stored, places};
use crate::error::{Error, Kind, Result};
use crate::index::Marks;
use crate::model::{
    Base, ChunkId, Class, FrameKind, FrameView, PackInfo, PackNumber, Place, Purpose,
};
use crate::observe::{Event, Observer, Progress};
use crate::repo::{
    ChunkReader, ChunkWriter, Kept, Known, Older, Relied, Repository, Usable, Writing, write,
};

/// Plaintext of a frame that is taken for one whose chunks may become bases, bytes at most.
const BASE_FRAME_LEN_MAX: u32 = 1 << 20;

/// Which chunks of which packs are copied.
pub(super) struct Copying<'c> {
    pub repo: &'c Repository,
    pub stored: &'c Stored,
    pub live: &'c Marks<'c>,
    /// The packs they are copied out of.
    pub from: &'c HashSet<PackNumber>,
    pub observer: &'c dyn Observer,
}

/// What is copied in one go: differences only once what they are from has its new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Full,
    Differences,
}

impl Copying<'_> {
    /// Copies the chunks of `part`, and tells the index of them; bytes of packs written. `now` is the index as it is
    /// after the parts before, and where copies in `from` do not count.
    ///
    /// # Errors
    /// Those of the store; `Corrupt` if something that is needed cannot be read. Nothing has been given up then.
    pub(super) fn copy(&self, part: Part, now: (&Stored, &Usable)) -> Result<u64> {
        let (stored, usable) = now;
        let relied = Relied::new(&stored.index);
        let known = Known { index: &stored.index, usable, relied: &relied };
        let bytes = AtomicU64::new(0);
        let reader = ChunkReader::new(self.repo, self.stored.index.clone()).for_differences();
        let writing = Writing::of(self.repo);
        let work = |writer: &mut ChunkWriter<'_>| {
            let mut progress =
                Progress { files_total: self.from.len() as u64, ..Progress::default() };
            self.stored.each_pack(self.repo, &mut |number, pack| {
                if !self.from.contains(&number) {
                    return Ok(());
                }
                for frame in pack.footer.views() {
                    if (frame.place.kind == FrameKind::Delta) == (part == Part::Differences) {
                        self.copy_frame((&reader, writer), (number, pack), &frame)?;
                    }
                }
                progress.files_done += 1;
                progress.bytes_written = writer.stored();
                self.observer.event(Event::Progress(progress));
                Ok(())
            })
        };
        Ok(write(self.repo, known, &bytes, writing, work)?.1.stored)
    }

    fn copy_frame(
        &self,
        (reader, writer): (&ChunkReader<'_>, &mut ChunkWriter<'_>),
        (number, pack): (PackNumber, &PackInfo),
        frame: &FrameView<'_>,
    ) -> Result<()> {
        let any = |_: PackNumber| true;
        let (class, purpose) = (pack.footer.class, pack.footer.purpose);
        for (chunk, (id, place)) in (0_u32..).zip(places(number, frame)) {
            if self.observer.is_interrupted() {
                return Err(Error::new(Kind::Interrupted, "interrupted; nothing was deleted"));
            }
            if !self.live.contains(&id) || self.stored.copy(&id, &any) != Some(place) {
                continue;
            }
            let plain = reader.cached_frame(&place)?;
            let plain = reader.checked(class, purpose, &id, &place, &plain)?;
            put(writer, (class, purpose), (id, plain), frame, chunk, &place)?;
        }
        Ok(())
    }
}

fn put(
    writer: &mut ChunkWriter<'_>,
    (class, purpose): (Class, Purpose),
    (id, plain): (ChunkId, &[u8]),
    frame: &FrameView<'_>,
    chunk: u32,
    place: &Place,
) -> Result<()> {
    if purpose == Purpose::Metadata {
        return writer.put_node(class, plain).map(|_| ());
    }
    let older = older_of(frame, chunk, place);
    let kept = match place.frame.kind {
        FrameKind::Full if place.frame.plain_len > BASE_FRAME_LEN_MAX => Kept::Alone,
        _ => Kept::After(&older),
    };
    writer.keep_chunk(class, id, plain, kept).map(|_| ())
}

/// What a chunk of a frame is the difference from; nothing for one of a full frame.
fn older_of(frame: &FrameView<'_>, chunk: u32, place: &Place) -> Older {
    let own = frame.bases.iter().filter(|base| base.chunk == chunk);
    let bases: Vec<Base> = own.map(|base| Base { chunk: 0, ..*base }).collect();
    let share = u64::from(place.frame.sealed_len) * u64::from(place.len)
        / u64::from(place.frame.plain_len.max(1));
    let delta_len = if bases.is_empty() { 0 } else { u32::try_from(share).unwrap_or(u32::MAX) };
    Older { bases, delta_len }
}
