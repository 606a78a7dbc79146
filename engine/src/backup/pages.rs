//! Pages of a database into chunks, those that have not changed as they are stored already.

use std::io;

use crossbeam_channel::Sender;

use super::read::{Message, Piece};
use super::spool::{Item, Spool};
use crate::chunk::Cutter;
use crate::crypto::Keyring;
use crate::error::Error;
use crate::manifest::{ChunkRuns, GetNode, chunks_of};
use crate::model::{ChunkId, Class, Content};
use crate::repo::{Known, OlderContent, cut};

/// The chunks of the state that was sealed last, in order.
pub(super) struct SameChunks<'r> {
    known: Known<'r>,
    runs: ChunkRuns<'r>,
    repeat: Option<(ChunkId, u32, u64)>,
}

impl<'r> SameChunks<'r> {
    /// The chunks of `content`; none unless all are stored, and were cut as `cutter` cuts pages.
    pub(super) fn of(
        known: Known<'r>,
        content: &Content,
        get: &'r GetNode<'r>,
        cutter: &Cutter,
    ) -> Option<Self> {
        let chunk_len = cutter.page_len()?;
        let mut is_last = false;
        for run in chunks_of(content, get) {
            let (node, count) = run.ok()?;
            let len = known.place(&node.id).filter(|_| known.contains(&node.id))?.len;
            if is_last || len > chunk_len || (len < chunk_len && count > 1) {
                return None;
            }
            is_last = len < chunk_len;
        }
        Some(Self { known, runs: chunks_of(content, get), repeat: None })
    }
}

impl Iterator for SameChunks<'_> {
    type Item = (ChunkId, u32);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((id, len, left)) = &mut self.repeat
            && *left > 0
        {
            *left -= 1;
            return Some((*id, *len));
        }
        let (node, count) = self.runs.next()?.ok()?;
        let len = self.known.place(&node.id)?.len;
        self.repeat = Some((node.id, len, count.saturating_sub(1)));
        Some((node.id, len))
    }
}

/// Takes what a spool gives to its end and hands it on in parts of whole chunks; the bytes.
///
/// The outer error is the repository's, the inner one the source's.
pub(super) fn stream(
    names: (&Keyring, Class),
    (cutter, spool): (&Cutter, &Spool),
    (mut older, mut same): (Option<OlderContent<'_>>, Option<SameChunks<'_>>),
    messages: &Sender<Message>,
) -> Result<io::Result<u64>, Error> {
    let (mut carried, mut stored) = (Vec::new(), 0);
    loop {
        let item = match spool.pop() {
            Ok(item) => item,
            Err(error) => return Ok(Err(error)),
        };
        let (end, same_count) = match item {
            None => (true, 0),
            Some(Item::Same(count)) => (false, count),
            Some(Item::Bytes(block)) => {
                if carried.is_empty() {
                    carried = block;
                } else {
                    carried.extend_from_slice(&block);
                }
                (false, 0)
            }
        };
        let mut piece = Piece { bytes: std::mem::take(&mut carried), ..Piece::default() };
        let used = cut(names, cutter, &piece.bytes, end, &mut piece.chunks)?;
        carried.extend_from_slice(&piece.bytes[used..]);
        piece.bytes.truncate(used);
        stored += used as u64;
        if cutter.is_delta() {
            piece.follow(older.as_mut(), 0);
        }
        if let Some(same) = &mut same {
            // What has changed is passed over in what was there.
            piece.chunks.iter().for_each(|_| _ = same.next());
        }
        let mut is_gone = !piece.chunks.is_empty() && messages.send(Message::Part(piece)).is_err();
        if same_count > 0 {
            let at_cut = same.as_mut().filter(|_| carried.is_empty());
            let Some(chunks) = at_cut.and_then(|same| taken_over(same_count, older.as_mut(), same))
            else {
                let what = "its reader leaves out pages that are not known";
                return Ok(Err(io::Error::other(what)));
            };
            stored += chunks.iter().map(|(_, len)| u64::from(*len)).sum::<u64>();
            is_gone = is_gone || messages.send(Message::Same(chunks)).is_err();
        }
        if end || is_gone {
            return Ok(Ok(stored));
        }
    }
}

/// The next `count` known chunks; none if there are not so many.
fn taken_over(
    count: u32,
    mut older: Option<&mut OlderContent<'_>>,
    same: &mut SameChunks<'_>,
) -> Option<Vec<(ChunkId, u32)>> {
    let mut chunks = Vec::new();
    for _ in 0..count {
        let (id, len) = same.next()?;
        if let Some(older) = &mut older {
            older.next(&id, len);
        }
        chunks.push((id, len));
    }
    Some(chunks)
}
