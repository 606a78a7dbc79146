//! Marking what snapshots and records need.

use super::stored::Stored;
use crate::error::{Error, Kind, Result};
use crate::index::Marks;
use crate::manifest::{Names, Start, walk_references};
use crate::model::{ChunkId, NodeRef, PackNumber, Snapshot, Source};
use crate::observe::{Event, Observer, Progress};
use crate::repo::{ChunkReader, Repository};

/// Kinds of records that keep nothing: a damaged one is passed over.
const ROOTLESS: [&str; 2] = ["bad-pack", "verified"];

/// Where everything that must be kept begins, with the name of what needs it.
pub(super) struct Needed {
    pub by: String,
    starts: Vec<Start>,
}

impl Needed {
    /// What a snapshot needs. Of secrets that this key may not read the lists tell it.
    pub(super) fn by_snapshot(repo: &Repository, snapshot: &Snapshot) -> Self {
        let of_source = |source: &Source| {
            let root = source.root.filter(|_| repo.may_read(source)).map(Start::Manifest);
            let lists = [source.s_data_ids, source.s_node_ids].into_iter().flatten();
            root.into_iter().chain(lists.map(Start::Content)).collect::<Vec<_>>()
        };
        let mut starts: Vec<Start> = snapshot.sources.iter().flat_map(of_source).collect();
        starts.extend(snapshot.pending.iter().copied().map(Start::Content));
        Self { by: format!("snapshot {}", snapshot.sid), starts }
    }

    /// What the records of the repository need.
    ///
    /// # Errors
    /// `Corrupt` for a damaged record: what it needs is not known; those of the store.
    pub(super) fn by_records(repo: &Repository, observer: &dyn Observer) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for kind in repo.record_kinds()? {
            let has_roots = !ROOTLESS.contains(&kind.as_str());
            for (hash, record) in repo.records(&kind)? {
                let record = match record {
                    Err(error) if !has_roots && error.kind().is_damage() => {
                        observer.event(Event::Finding(&error.to_string()));
                        continue;
                    }
                    record => record?,
                };
                let starts = record.roots.into_iter().map(Start::Content);
                let manifests = record.manifests.into_iter().map(Start::Manifest);
                let starts: Vec<Start> = starts.chain(manifests).collect();
                if !starts.is_empty() {
                    all.push(Self { by: format!("records/{kind}/{hash}"), starts });
                }
            }
        }
        Ok(all)
    }
}

/// Is told of a chunk that is needed, and may mark more.
pub(super) type Each<'e> = dyn FnMut(&ChunkId, &mut Marks<'_>) -> Result<()> + 'e;

/// Walks what `needed` names and calls `each` for every reference not yet in `seen`. What `is_known` accepts is passed
/// over, with everything below it.
///
/// # Errors
/// `Interrupted`; those of reading nodes, and of `each`, which say what cannot be had and who needs it.
pub(super) fn walk(
    reader: &ChunkReader<'_>,
    needed: &[&Needed],
    (seen, is_known): (&mut Marks<'_>, &dyn Fn(&ChunkId) -> bool),
    observer: &dyn Observer,
    each: &mut Each<'_>,
) -> Result<()> {
    let get = |node: &NodeRef| reader.node(node);
    let mut progress = Progress { files_total: needed.len() as u64, ..Progress::default() };
    for Needed { by, starts } in needed {
        for start in starts {
            let walked = walk_references(*start, &get, &mut |node, names| {
                stop_if_asked(observer)?;
                if is_known(&node.id) || !seen.insert(&node.id) {
                    return Ok(false);
                }
                each(&node.id, seen)?;
                Ok(names != Names::Data)
            });
            walked
                .map_err(|error| if error.kind().is_damage() { lost(&error, by) } else { error })?;
        }
        progress.files_done += 1;
        observer.event(Event::Progress(progress));
    }
    Ok(())
}

/// Stops before anything is given up.
///
/// # Errors
/// `Interrupted` when asked to stop.
pub(super) fn stop_if_asked(observer: &dyn Observer) -> Result<()> {
    if observer.is_interrupted() {
        return Err(Error::new(Kind::Interrupted, "interrupted; nothing was given up"));
    }
    Ok(())
}

/// The error for a chunk that nothing can give back.
pub(super) fn absent(id: &ChunkId) -> Error {
    Error::new(Kind::Corrupt, format!("chunk {id} has no copy that counts"))
}

fn lost(error: &Error, by: &str) -> Error {
    let what = format!(
        "{by} needs what is lost ({error}): nothing is deleted while that is so; `coffer verify` tells the \
         extent, the next backup stores again what its source still has, and `coffer forget` gives the snapshot up"
    );
    Error::new(Kind::Corrupt, what)
}

/// Marks everything that `needed` names, each of which must have a copy that counts, and the bases of the frames
/// of the copies that are to be kept.
///
/// # Errors
/// As [`walk`].
pub(super) fn mark<'s>(
    repo: &Repository,
    stored: &'s Stored,
    needed: &[&Needed],
    observer: &dyn Observer,
) -> Result<Marks<'s>> {
    let any = |_: PackNumber| true;
    let reader = ChunkReader::new(repo, stored.index.clone());
    let mut live = Marks::new(&stored.index);
    walk(&reader, needed, (&mut live, &|_| false), observer, &mut |id, live| {
        let place = stored.copy(id, &any).ok_or_else(|| absent(id))?;
        for base in stored.index.bases(&place) {
            live.insert(&base.id);
        }
        Ok(())
    })?;
    Ok(live)
}
