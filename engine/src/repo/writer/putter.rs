//! The stage that puts packs, then the index segments that tell of them.

use crossbeam_channel::Receiver;

use super::framer::{FinishedPack, Output};
use crate::error::{Error, Kind, Result};
use crate::model::{Entropy, PackInfo};
use crate::repo::{Repository, pack_name, records};
use crate::store::Creation;

/// Chunks and bases after which an index segment is put: about 4 MiB.
const SEGMENT_ROW_COUNT: usize = 100_000;

/// Works until the queue of packs ends; returns how many were put.
pub(super) fn run(
    repo: &Repository,
    entropy: &Entropy,
    outputs: &Receiver<Output<'_>>,
) -> Result<u64> {
    let mut count: u64 = 0;
    let mut pending: Vec<PackInfo> = Vec::new();
    for output in outputs {
        let FinishedPack { staged, info } = match output {
            Output::Pack(pack) => *pack,
            Output::Settle(then) => {
                flush(repo, entropy, &mut pending)?;
                then()?;
                continue;
            }
        };
        if let Err(error) = put(repo, staged, &info) {
            // What is in the store already still gets its index, so that the next run finds it.
            let _ = flush(repo, entropy, &mut pending);
            return Err(error);
        }
        count = count.saturating_add(1);
        pending.push(info);
        let rows = |pack: &PackInfo| pack.footer.chunks.len() + pack.footer.bases.len();
        if pending.iter().map(rows).sum::<usize>() >= SEGMENT_ROW_COUNT {
            flush(repo, entropy, &mut pending)?;
        }
    }
    flush(repo, entropy, &mut pending)?;
    Ok(count)
}

fn put(repo: &Repository, staged: crate::store::Staged, info: &PackInfo) -> Result<()> {
    let name = pack_name(info.id);
    match repo.store().publish(staged, &name)? {
        Creation::Created => Ok(()),
        // The salt is random: only our own earlier success can have made it.
        Creation::Exists if repo.store().len(&name)? == Some(info.pack_len) => Ok(()),
        Creation::Exists => {
            Err(Error::new(Kind::Conflict, format!("{name} exists with another length")))
        }
    }
}

fn flush(repo: &Repository, entropy: &Entropy, pending: &mut Vec<PackInfo>) -> Result<()> {
    if !pending.is_empty() {
        records::save_segment(repo, entropy, pending)?;
        pending.clear();
    }
    Ok(())
}
