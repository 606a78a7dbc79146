//! Frames stored as differences: checked after the others, in the order of the frames that they need.
//! Each round of a database needs nearly all of its bases, and those are opened once for many rounds so.

use rayon::prelude::*;

use super::Report;
use super::packs::record;
use super::structure::Checked;
use crate::error::{Error, Kind, Result};
use crate::model::{
    Base, Chunk, FramePlace, FrameView, MemoryBound, PackId, PackInfo, PackMeta, PackNumber,
};
use crate::observe::Observer;
use crate::pack;
use crate::repo::{ChunkReader, pack_name};

/// Bytes of tables of frames that wait, at most: about 16 000 frames, which expand to 8 GB.
const HELD_LEN_MAX: usize = 12 << 20;

/// Frames that wait to be checked.
#[derive(Default)]
pub(super) struct Differences {
    waiting: Vec<Waiting>,
    held_len: usize,
}

struct Waiting {
    pack: PackMeta,
    number: Option<PackNumber>,
    place: FramePlace,
    chunks: Vec<Chunk>,
    bases: Vec<Base>,
    /// Where the first of its bases stands.
    needs: (PackNumber, u32),
}

/// Why a frame does not hold what it should.
struct Failed {
    error: Error,
    /// A base of it cannot be had: the frame itself may be good.
    is_base: bool,
}

impl Differences {
    /// Puts off the check of a frame.
    pub(super) fn add(
        &mut self,
        reader: &ChunkReader<'_>,
        (info, number): (&PackInfo, Option<PackNumber>),
        view: &FrameView<'_>,
    ) {
        let FrameView { place, chunks, bases } = view;
        let needs = reader.needed_for(bases).unwrap_or((PackNumber(0), 0));
        self.held_len += size_of::<Waiting>() + size_of_val(*chunks) + size_of_val(*bases);
        self.waiting.push(Waiting {
            pack: info.meta(),
            number,
            place: *place,
            chunks: chunks.to_vec(),
            bases: bases.to_vec(),
            needs,
        });
    }

    /// True if no more should wait.
    pub(super) fn is_full(&self) -> bool {
        self.held_len >= HELD_LEN_MAX
    }

    /// Checks all that wait. A frame whose base is lost is not bad, and no finding unless something needs it.
    ///
    /// # Errors
    /// Those of the store; `Interrupted`.
    pub(super) fn check(
        &mut self,
        reader: &ChunkReader<'_>,
        checked: &mut Checked,
        report: &mut Report,
        observer: &dyn Observer,
    ) -> Result<()> {
        let mut waiting = std::mem::take(self).waiting;
        waiting.sort_unstable_by_key(|it| it.needs);
        let count = rayon::current_num_threads().saturating_mul(2);
        let longest = waiting.iter().map(|it| MemoryBound::opened_len(&it.place)).max();
        let room = reader.memory().plain_len() / longest.unwrap_or(1).max(1);
        let count = count.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1);
        for window in waiting.chunks(count) {
            if observer.is_interrupted() {
                return Err(Error::new(Kind::Interrupted, "interrupted"));
            }
            let failed = |it: &Waiting| it.open(reader).err().map(|failed| (it.tag(), failed));
            let failed: Vec<_> = window.par_iter().filter_map(failed).collect();
            for ((pack, number, position), Failed { error, is_base }) in failed {
                match error.kind() {
                    // Without the keys of class S its packs are only hashed.
                    Kind::WrongKey => continue,
                    kind if !kind.is_damage() => return Err(error),
                    _ => {}
                }
                if is_base {
                    // A prune may leave a frame that nothing needs without its bases. Of one that is needed, the walk of
                    // the manifests tells that its chunks do not resolve.
                    continue;
                }
                report.find(observer, format!("pack {pack}, frame at byte {position}"), error);
                let Some(number) = number else { continue };
                checked.health.set_bad_frame(number, position);
                record(reader.repository(), pack, report, observer);
            }
        }
        Ok(())
    }
}

impl Waiting {
    fn tag(&self) -> (PackId, Option<PackNumber>, u32) {
        (self.pack.id, self.number, self.place.position)
    }

    fn open(&self, reader: &ChunkReader<'_>) -> std::result::Result<(), Failed> {
        let Self { pack, place, chunks, bases, .. } = self;
        let is_outside = |base: &Base| {
            let end = u64::from(base.offset) + u64::from(base.len);
            reader.full_place(&base.id).is_ok_and(|place| end > u64::from(place.len))
        };
        let is_base = !bases.iter().any(is_outside);
        let prefix = reader.prefix_of(pack.class, bases);
        let prefix = prefix.map_err(|error| Failed { error, is_base })?;
        let checked = || {
            let (keyring, store) = (reader.repository().keyring(), reader.repository().store());
            let len = place.sealed_len as usize;
            let sealed = store.get_range(&pack_name(pack.id), place.position.into(), len)?;
            let plain = pack::open_frame(keyring, pack, place, &sealed, prefix.as_deref())?;
            pack::check_chunks(keyring, pack.class, pack.purpose, &plain, chunks)
        };
        checked().map_err(|error| Failed { error, is_base: false })
    }
}
