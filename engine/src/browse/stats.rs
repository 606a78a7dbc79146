//! What snapshots and the repository take.

use super::{searchable_root, stop_if_asked, tell_damage};
use crate::error::Result;
use crate::index::Marks;
use crate::manifest::{Names, Start, walk_references};
use crate::model::{
    ChunkId, NodeRef, PACK_HEADER_LEN, Place, Purpose, Snapshot, SnapshotId, Source,
};
use crate::observe::{Event, Observer, Progress};
use crate::repo::{ChunkReader, Repository, parse_pack_name};

/// Bytes behind a pack's footer: its length.
const FOOTER_LEN_LEN: u64 = 8;

/// What one or more snapshots hold and take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sizes {
    pub entries: u64,
    /// Bytes of all files, as a restore writes them.
    pub logical_bytes: u64,
    pub chunk_count: u64,
    /// Plaintext bytes of the chunks of data they need, each once.
    pub unique_bytes: u64,
    /// Bytes in packs of these chunks: of a frame, each chunk takes its part by length.
    pub stored_bytes: u64,
    /// The same of the nodes of their manifests.
    pub metadata_stored_bytes: u64,
}

/// Objects of one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectSizes {
    pub count: u64,
    pub bytes: u64,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepositorySizes {
    pub data: ObjectSizes,
    pub metadata: ObjectSizes,
    /// Packs that no index segment names.
    pub unknown_packs: ObjectSizes,
    pub index: ObjectSizes,
    pub snapshots: ObjectSizes,
    /// Config, keys, rings, generations, records, forgets.
    pub control: ObjectSizes,
    /// Bytes of frames in packs that no snapshot needs, to within the rounding of shared frames;
    /// unknown unless all snapshots were measured whole.
    pub garbage_bytes: Option<u64>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    pub snapshots: Vec<(SnapshotId, Sizes)>,
    /// Of all of them together, shared chunks once.
    pub total: Sizes,
    pub repository: RepositorySizes,
    /// Chunks and nodes that are lost; what they hold is not counted.
    pub damaged: u64,
}

impl Sizes {
    /// Plaintext bytes for each byte stored; none when nothing is stored.
    #[must_use]
    pub fn compression_ratio(&self) -> Option<f64> {
        ratio(self.unique_bytes, self.stored_bytes)
    }

    /// Bytes of files for each byte of unique chunks; none when there is none.
    #[must_use]
    pub fn deduplication_ratio(&self) -> Option<f64> {
        ratio(self.logical_bytes, self.unique_bytes)
    }
}

impl RepositorySizes {
    /// All objects.
    #[must_use]
    pub fn total(&self) -> ObjectSizes {
        let parts = [
            self.data,
            self.metadata,
            self.unknown_packs,
            self.index,
            self.snapshots,
            self.control,
        ];
        parts.into_iter().fold(ObjectSizes::default(), |mut sum, part| {
            sum.count += part.count;
            sum.bytes += part.bytes;
            sum
        })
    }
}

fn ratio(plain: u64, stored: u64) -> Option<f64> {
    (stored > 0).then(|| plain as f64 / stored as f64)
}

/// Measures `snapshots`, one by one and together, and the store. `is_all` says that they are all there
/// are, checkpoints included: then what none of them needs is garbage. Takes four bits of memory a
/// chunk. Damage is told to `observer` and counted.
///
/// # Errors
/// `Unavailable` when the store does not answer; `Interrupted`.
pub fn stats(
    repo: &Repository,
    reader: &ChunkReader<'_>,
    snapshots: &[Snapshot],
    is_all: bool,
    observer: &dyn Observer,
) -> Result<Stats> {
    let mut stats = Stats::default();
    let mut all = Walk::new(reader);
    let mut progress = Progress { files_total: snapshots.len() as u64, ..Progress::default() };
    for snapshot in snapshots {
        let mut own = Walk::new(reader);
        for walk in [&mut own, &mut all] {
            for source in &snapshot.sources {
                walk.sizes.entries = walk.sizes.entries.saturating_add(source.entries);
                walk.sizes.logical_bytes = walk.sizes.logical_bytes.saturating_add(source.bytes);
            }
            starts(snapshot).try_for_each(|it| walk.add(it, observer))?;
        }
        stats.snapshots.push((snapshot.sid, own.sizes));
        progress.files_done += 1;
        observer.event(Event::Progress(progress));
    }
    if is_all {
        add_superseded(repo, &mut all, observer)?;
    }
    stats.repository = measure(repo, reader)?;
    if is_all && all.damaged == 0 {
        let live = all.sizes.stored_bytes + all.sizes.metadata_stored_bytes;
        stats.repository.garbage_bytes = Some(frame_bytes(repo, reader)?.saturating_sub(live));
    }
    (stats.total, stats.damaged) = (all.sizes, all.damaged);
    Ok(stats)
}

/// Adds what the earlier checkpoints of each run need: it is no garbage yet.
fn add_superseded(repo: &Repository, all: &mut Walk<'_>, observer: &dyn Observer) -> Result<()> {
    for object in repo.valid_objects(&repo.view()?)? {
        match repo.load_snapshot(&object) {
            Ok(snapshot) => starts(&snapshot).try_for_each(|it| all.add(it, observer))?,
            // Told when the snapshots were listed.
            Err(error) if error.kind().is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where everything that a snapshot needs begins.
fn starts(snapshot: &Snapshot) -> impl Iterator<Item = Start> {
    let of_source = |source: &Source| {
        let lists = [source.s_data_ids, source.s_node_ids].into_iter().flatten();
        let manifest = searchable_root(source).map(Start::Manifest);
        manifest.into_iter().chain(lists.map(Start::Content)).collect::<Vec<_>>()
    };
    let pending = snapshot.pending.iter().copied().map(Start::Content);
    snapshot.sources.iter().flat_map(of_source).chain(pending)
}

/// The chunks of one or more snapshots, each counted once.
struct Walk<'w> {
    reader: &'w ChunkReader<'w>,
    seen: Marks<'w>,
    /// Chunks that differences are stored from, whether they are in a content or not.
    bases: Marks<'w>,
    sizes: Sizes,
    /// Stored bytes before rounding.
    stored: f64,
    metadata_stored: f64,
    damaged: u64,
}

impl<'w> Walk<'w> {
    fn new(reader: &'w ChunkReader<'w>) -> Self {
        let sizes = Sizes::default();
        let (seen, bases) = (Marks::new(reader.index()), Marks::new(reader.index()));
        Self { reader, seen, bases, sizes, stored: 0.0, metadata_stored: 0.0, damaged: 0 }
    }

    /// Adds everything below `start`. A lost node is told once; what is behind it is not counted.
    fn add(&mut self, start: Start, observer: &dyn Observer) -> Result<()> {
        let reader = self.reader;
        let get = |node: &NodeRef| reader.node(node);
        walk_references(start, &get, &mut |node, names| {
            stop_if_asked(observer)?;
            if !self.seen.insert(&node.id) {
                return Ok(false);
            }
            let place = reader.places(&node.id).map(|places| places.first().copied());
            let readable = match (place, names) {
                (Ok(place), Names::Data) => {
                    place.map_or(Ok(()), |place| self.count_data(&node.id, &place))
                }
                (Ok(place), Names::Node(_)) => {
                    place.into_iter().for_each(|place| self.metadata_stored += share(&place));
                    reader.node(node).map(|_| ())
                }
                (Err(error), _) => Err(error),
            };
            match readable {
                Ok(()) => Ok(names != Names::Data),
                Err(error) => {
                    tell_damage(error, observer, &mut self.damaged)?;
                    Ok(false)
                }
            }
        })?;
        self.sizes.stored_bytes = self.stored.round() as u64;
        self.sizes.metadata_stored_bytes = self.metadata_stored.round() as u64;
        Ok(())
    }

    /// Counts a chunk, and what the frame it stands in is stored as the difference from.
    fn count_data(&mut self, id: &ChunkId, place: &Place) -> Result<()> {
        self.sizes.chunk_count += 1;
        self.sizes.unique_bytes += u64::from(place.len);
        if !self.bases.contains(id) {
            self.stored += share(place);
        }
        for base in self.reader.index().bases(place) {
            if self.bases.insert(&base.id) && !self.seen.contains(&base.id) {
                self.stored += share(&self.reader.full_place(&base.id)?);
            }
        }
        Ok(())
    }
}

/// The part of its frame's sealed bytes that a chunk takes.
fn share(place: &Place) -> f64 {
    let plain_len = place.frame.plain_len.max(1);
    f64::from(place.frame.sealed_len) * f64::from(place.len) / f64::from(plain_len)
}

/// Sums the objects of the store by purpose.
fn measure(repo: &Repository, reader: &ChunkReader<'_>) -> Result<RepositorySizes> {
    let mut sizes = RepositorySizes::default();
    let index = reader.index();
    repo.store().list("", &mut |name, len| {
        let part = if let Some(pack) = parse_pack_name(name) {
            match index.find_pack(&pack).map(|number| index.pack(number).purpose) {
                Some(Purpose::Data) => &mut sizes.data,
                Some(_) => &mut sizes.metadata,
                None => &mut sizes.unknown_packs,
            }
        } else if name.starts_with("index/") {
            &mut sizes.index
        } else if name.starts_with("snapshots/") {
            &mut sizes.snapshots
        } else {
            &mut sizes.control
        };
        part.count += 1;
        part.bytes += len;
        Ok(())
    })?;
    Ok(sizes)
}

/// Bytes of the frames of every pack that is in the store and in the index.
fn frame_bytes(repo: &Repository, reader: &ChunkReader<'_>) -> Result<u64> {
    let index = reader.index();
    let mut bytes = 0_u64;
    repo.store().list("packs/", &mut |name, len| {
        if let Some(number) = parse_pack_name(name).and_then(|id| index.find_pack(&id)) {
            let around = u64::from(index.pack(number).footer_sealed_len)
                + u64::from(PACK_HEADER_LEN)
                + FOOTER_LEN_LEN;
            bytes += len.saturating_sub(around);
        }
        Ok(())
    })?;
    Ok(bytes)
}
