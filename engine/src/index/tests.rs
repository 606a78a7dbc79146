use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::batch::Batch;
use super::run::Run;
use super::*;
use crate::cache::{Cache, Mapped};
use crate::error::{Error, Kind};
use crate::model::{Chunk, Class, Codec, Entropy, Footer, Frame, FrameKind, Purpose, RepositoryId};

mod merging;

/// A made-up repository: segments of packs.
#[derive(Default)]
struct Plain {
    segments: BTreeMap<SegmentId, Vec<PackInfo>>,
    loads: RefCell<u32>,
}

impl Plain {
    fn add(&mut self, packs: &[PackInfo]) -> SegmentId {
        let hash = blake3::hash(format!("{packs:?}{}", self.segments.len()).as_bytes());
        let id = SegmentId(*hash.as_bytes());
        self.segments.insert(id, packs.to_vec());
        id
    }

    fn open(&self, cache: Option<&Cache>) -> Index {
        self.open_with(cache, 500)
    }

    fn open_with(&self, cache: Option<&Cache>, batch_len_max: usize) -> Index {
        let empty = Index { batch_len_max, ..Index::empty(cache.map(Cache::folder)) };
        self.open_from(empty, cache)
    }

    fn open_from(&self, empty: Index, cache: Option<&Cache>) -> Index {
        let segments: Vec<_> = self.segments.keys().map(|id| (*id, 1000)).collect();
        let load = |id: SegmentId| {
            *self.loads.borrow_mut() += 1;
            Ok(self.segments.get(&id).cloned())
        };
        empty.with(cache, &segments, &load).unwrap()
    }

    fn loads(&self) -> u32 {
        self.loads.take()
    }

    fn packs(&self) -> BTreeMap<PackId, &PackInfo> {
        self.segments.values().flatten().map(|pack| (pack.id, pack)).collect()
    }

    /// Compares the index with what the segments say, chunk by chunk.
    fn check(&self, index: &Index) {
        check(index, self.packs().values().copied());
    }
}

type Found = (PackId, u32, u32, u32);

fn check<'a>(index: &Index, packs: impl Iterator<Item = &'a PackInfo>) {
    let mut wanted: BTreeMap<ChunkId, Vec<Found>> = BTreeMap::new();
    let mut pack_count = 0;
    for pack in packs {
        pack_count += 1;
        let number = index.find_pack(&pack.id).unwrap();
        assert_eq!(index.pack(number), pack.meta());
        for view in pack.footer.views() {
            for (chunk, range) in view.ranges() {
                let found = (pack.id, view.place.position, range.start, chunk.len);
                wanted.entry(chunk.id).or_default().push(found);
            }
        }
    }
    assert_eq!(index.packs().count(), pack_count);
    assert!(index.packs().all(|(number, _)| (number.0 as usize) < index.pack_number_end()));
    assert!(index.packs().all(|(number, pack)| index.find_pack(&pack.id) == Some(number)));
    for (id, mut wanted) in wanted {
        let places = index.find(&id);
        let row = |place: &Place| {
            (index.pack(place.pack).id, place.frame.position, place.offset, place.len)
        };
        let mut found: Vec<Found> = places.iter().map(row).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        let only = places[0].pack;
        assert!(index.contains(&id, &|pack| pack == only));
        assert!(!index.contains(&id, &|_| false));
        for place in &places {
            let bases = index.bases(place);
            assert_eq!(bases.is_empty(), place.frame.kind == FrameKind::Full);
            // Each delta's base is made to name the first chunk of its frame.
            assert!(bases.iter().all(|base| base.offset == place.frame.position));
        }
    }
    assert!(index.find(&ChunkId([0xab; 32])).is_empty());
}

fn chunk_id(number: u32) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A pack of frames with chunks of these numbers; every second frame is a delta.
fn pack(number: u32, frames: &[Vec<u32>]) -> PackInfo {
    let mut footer = Footer {
        class: Class::Ordinary,
        purpose: Purpose::Data,
        frames: Vec::new(),
        chunks: Vec::new(),
        bases: Vec::new(),
    };
    let mut position = 40;
    for (at, ids) in frames.iter().enumerate() {
        let is_delta = at % 2 == 1;
        let chunks = ids.iter().map(|id| Chunk { id: chunk_id(*id), len: 10 + id % 7 });
        let chunks: Vec<Chunk> = chunks.collect();
        let sealed_len = 100 + number % 5;
        footer.frames.push(Frame {
            sealed_len,
            plain_len: chunks.iter().map(|chunk| chunk.len).sum(),
            chunk_count: u32::try_from(chunks.len()).unwrap(),
            base_count: if is_delta { 2 } else { 0 },
            kind: if is_delta { FrameKind::Delta } else { FrameKind::Full },
            codec: Codec::Zstd,
            level: 3,
        });
        if is_delta {
            let base = Base { id: chunks[0].id, chunk: 0, offset: position, len: 1 };
            footer.bases.extend([base, base]);
        }
        footer.chunks.extend(chunks);
        position += sealed_len;
    }
    PackInfo {
        id: PackId(*blake3::hash(&[&b"pack"[..], &number.to_le_bytes()].concat()).as_bytes()),
        pack_len: 4096,
        footer_sealed_len: 77,
        epoch: number % 3,
        salt: [u8::try_from(number % 251).unwrap(); 32],
        footer,
    }
}

/// A pack of `count` chunks of its own, in frames of five.
fn own_pack(number: u32, count: u32) -> PackInfo {
    let ids: Vec<u32> = (number * 1000..number * 1000 + count).collect();
    pack(number, &ids.chunks(5).map(<[u32]>::to_vec).collect::<Vec<_>>())
}

fn cache(dir: &tempfile::TempDir) -> Cache {
    Cache::open(dir.path(), RepositoryId([1; 16])).unwrap()
}

fn run_files(dir: &tempfile::TempDir) -> Vec<std::path::PathBuf> {
    let folder = dir.path().join(RepositoryId([1; 16]).to_string()).join("index");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn an_index_knows_every_copy_of_every_chunk() {
    let mut plain = Plain::default();
    plain.check(&plain.open(None));
    plain.add(&[pack(1, &[vec![1, 2, 3], vec![4], vec![2]]), pack(2, &[vec![3, 9]])]);
    plain.add(&[pack(3, &[vec![2, 5], vec![6, 6]])]);
    // A segment that repeats packs of others, as merged segments do for a while.
    plain.add(&[pack(1, &[vec![1, 2, 3], vec![4], vec![2]]), pack(4, &[vec![1]])]);
    plain.check(&plain.open(None));
    plain.check(&plain.open_with(None, 1));
}

#[test]
fn what_the_cache_has_is_not_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    for number in 0..5 {
        plain.add(&[own_pack(number, 40)]);
    }
    plain.check(&plain.open(Some(&cache(&dir))));
    assert_eq!(plain.loads(), 5);
    plain.check(&plain.open(Some(&cache(&dir))));
    assert_eq!(plain.loads(), 0);
    plain.add(&[own_pack(7, 40)]);
    plain.check(&plain.open(Some(&cache(&dir))));
    assert_eq!((plain.loads(), run_files(&dir).len()), (1, 2));
}

#[test]
fn of_a_run_only_what_listed_segments_tell_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    let ids: Vec<_> = (0..8).map(|number| plain.add(&[own_pack(number, 40)])).collect();
    plain.open(Some(&cache(&dir)));
    plain.loads();
    // A prune takes segments away, one after the other; another repeats a pack of one of them.
    for (gone, left) in ids[..7].iter().zip((1..8).rev()) {
        plain.segments.remove(gone);
        plain.check(&plain.open(Some(&cache(&dir))));
        assert_eq!((plain.loads(), plain.packs().len()), (0, left));
    }
    plain.add(&[own_pack(0, 40), own_pack(9, 3)]);
    plain.check(&plain.open(Some(&cache(&dir))));
    assert_eq!(plain.loads(), 1);
    // Mostly void, it was written anew.
    let longest = run_files(&dir).iter().map(|path| path.metadata().unwrap().len()).max();
    assert!(longest.unwrap() < 6000, "{longest:?}");
}

#[test]
fn a_run_is_made_again_when_a_pack_of_several_segments_loses_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    let gone = plain.add(&[own_pack(1, 40), own_pack(2, 40)]);
    plain.add(&[own_pack(2, 40), own_pack(3, 40)]);
    plain.open(Some(&cache(&dir)));
    plain.loads();
    plain.segments.remove(&gone);
    plain.check(&plain.open(Some(&cache(&dir))));
    assert_eq!((plain.loads(), plain.packs().len()), (1, 2));
}

#[test]
fn a_run_of_no_listed_segment_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    plain.add(&[own_pack(1, 40)]);
    plain.open(Some(&cache(&dir)));
    plain.segments.clear();
    plain.check(&plain.open(Some(&cache(&dir))));
    assert!(run_files(&dir).is_empty());
}

#[test]
fn marks_know_every_chunk_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    for number in 0..6 {
        plain.add(&[own_pack(number, 40), pack(50 + number, &[vec![1, 2, number * 1000]])]);
        plain.open(Some(&cache(&dir)));
    }
    let mut index = plain.open(Some(&cache(&dir)));
    index.add(&own_pack(9, 30));
    let chunks = plain.packs().into_values().flat_map(|pack| pack.footer.chunks.clone());
    let mut ids: Vec<ChunkId> = chunks.map(|chunk| chunk.id).collect();
    ids.extend((9_000..9_030).chain(80_000..80_003).map(chunk_id));
    let distinct: std::collections::BTreeSet<ChunkId> = ids.iter().copied().collect();
    let mut marks = Marks::new(&index);
    assert_eq!(ids.iter().filter(|id| marks.insert(id)).count(), distinct.len());
    assert!(!ids.iter().any(|id| marks.insert(id)));
}

/// Long runs keep a filter on disk until they are written; ids may be anything at all.
#[test]
fn a_filter_has_every_id_that_was_given_and_few_others() {
    for has_disk in [true, false] {
        let ids: std::collections::BTreeSet<ChunkId> = (0..900_000).map(chunk_id).collect();
        let scratch = || has_disk.then(|| crate::cache::Draft::unnamed(None).unwrap());
        let blocks = filter::block_count(ids.len() as u64);
        let mut writer = filter::FilterWriter::new(&scratch, blocks);
        ids.iter().for_each(|id| writer.add(id).unwrap());
        let mut bytes = Vec::new();
        let mut take = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        writer.finish(&mut take).unwrap();
        assert_eq!(bytes.len(), blocks as usize * filter::BLOCK_LEN);
        let may_have = |id: &ChunkId| {
            let block = filter::part(filter::leading(&id.0), blocks) as usize;
            filter::may_have(bytes.as_chunks().0.get(block).unwrap(), id)
        };
        assert!(ids.iter().all(may_have));
        let told = (1_000_000..1_100_000).filter(|number| may_have(&chunk_id(*number))).count();
        assert!((500..2500).contains(&told), "{told} of 100000 are told wrongly");
    }
}

#[test]
fn ids_that_are_not_spread_evenly_are_found_all_the_same() {
    let id = |number: u32| {
        let mut id = [if number < 7 { 0 } else { 0x41 }; 32];
        id[28..].copy_from_slice(&number.to_be_bytes());
        ChunkId(id)
    };
    let mut info = own_pack(1, 500);
    info.footer.chunks.iter_mut().zip(0..).for_each(|(chunk, number)| chunk.id = id(2 * number));
    let mut plain = Plain::default();
    plain.add(&[info]);
    let index = plain.open(None);
    plain.check(&index);
    assert!((0..500).all(|number| index.find(&id(2 * number + 1)).is_empty()));
}

#[test]
fn many_runs_become_few_and_stay_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    for number in 0..40 {
        // Overlapping chunks and, now and then, a pack that stands in an older segment.
        let shared = pack(100 + number / 10, &[vec![number / 10], vec![7, 8]]);
        plain.add(&[own_pack(number, 1 + number * 7 % 50), shared]);
        plain.check(&plain.open(Some(&cache(&dir))));
        assert_eq!(plain.loads(), 1);
        assert!(run_files(&dir).len() <= load::RUN_COUNT_MAX);
    }
    plain.check(&plain.open(Some(&cache(&dir))));
    assert_eq!(plain.loads(), 0);
}

#[test]
fn damaged_runs_are_ignored_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Plain::default();
    plain.add(&[own_pack(1, 30), own_pack(2, 30)]);
    plain.open(Some(&cache(&dir)));
    plain.loads();
    let path = run_files(&dir).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let step = whole.len() / 60;
    let ends = [0, 1, TRAILER_LEN_TESTED, whole.len() - 1];
    let cuts = ends.into_iter().map(|len| whole[..len].to_vec());
    let flips = (0..whole.len()).step_by(step).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        bytes
    });
    for bytes in cuts.chain(flips).chain([[&whole[..], &[0]].concat(), vec![0; 5000]]) {
        std::fs::write(&path, &bytes).unwrap();
        plain.check(&plain.open(Some(&cache(&dir))));
        assert_eq!(plain.loads(), 1);
    }
    plain.open(Some(&cache(&dir)));
    assert_eq!(plain.loads(), 0);
}

const TRAILER_LEN_TESTED: usize = run::TRAILER_LEN;

/// A long run is not hashed when opened: whatever its rows say, nothing may panic.
#[test]
fn contradictory_rows_of_an_unhashed_run_never_panic() {
    let (mut batch, mut bytes) = (Batch::default(), Vec::new());
    let packs = [own_pack(1, 30), own_pack(2, 30)];
    batch.add_segment(SegmentId([1; 32]), packs.to_vec());
    batch.sort();
    batch.write(&|| None, &mut bytes).unwrap();
    let hashed = bytes.len() - run::HASH_LEN;
    for at in 0..hashed {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x81;
        let hash = *blake3::hash(&bytes[..hashed]).as_bytes();
        bytes[hashed..].copy_from_slice(&hash);
        let Some(run) = Run::open(Mapped::memory(bytes.clone())) else { continue };
        let part = || write::Part { run: &run, is_void: &|number| number == 1 };
        let _ = write::merge(&[part(), part()], &[], &|| None, &mut Vec::new());
        for listed in [true, false] {
            let run = Run::open(Mapped::memory(bytes.clone())).unwrap();
            let mut index = Plain::default().open(None);
            let Some(loaded) = loaded::Loaded::new(run, None, &|_| listed) else { continue };
            index.runs.push(loaded);
            index.set_numbers();
            for chunk in &packs[0].footer.chunks {
                index.find(&chunk.id).iter().for_each(|place| drop(index.bases(place)));
            }
            index.packs().for_each(|(number, pack)| assert_eq!(index.pack(number), pack));
        }
    }
}

#[test]
fn own_packs_are_known_at_once_and_spill_when_they_are_many() {
    let mut plain = Plain::default();
    plain.add(&[own_pack(1, 20)]);
    let mut index = plain.open_with(None, 64);
    for number in 2..60 {
        let pack = own_pack(number, number % 30 + 1);
        index.add(&pack);
        index.add(&pack);
        plain.add(&[pack]);
        if number % 7 == 0 {
            plain.check(&index);
        }
    }
    index.add(&own_pack(1, 20));
    plain.check(&index);
    assert!(index.recent.len() < 64 && index.runs.len() <= load::RUN_COUNT_MAX);
    let entries: usize = plain.packs().values().map(|pack| pack.footer.chunks.len()).sum();
    assert_eq!(index.entry_count(), entries as u64);
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir);
    std::fs::remove_dir_all(dir.path()).unwrap();
    let mut plain = Plain::default();
    plain.add(&[own_pack(1, 20)]);
    plain.check(&plain.open(Some(&cache)));
    assert!(!cache.take_notes().is_empty());
}

#[test]
fn a_segment_that_is_left_out_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(&dir);
    let packs = vec![own_pack(1, 20)];
    let segments = [(SegmentId([1; 32]), 1), (SegmentId([2; 32]), 1)];
    let load = |id: SegmentId| Ok((id == segments[0].0).then(|| packs.clone()));
    let index = Index::open(Some(&cache), &segments, &load).unwrap();
    check(&index, packs.iter());
    let asked = RefCell::new(Vec::new());
    let load = |id: SegmentId| {
        asked.borrow_mut().push(id);
        Err(Error::new(Kind::Unavailable, "away"))
    };
    assert_eq!(Index::open(Some(&cache), &segments, &load).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(asked.take(), [segments[1].0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_histories_agree_with_a_plain_map(seed in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        let entropy = Entropy::fixed(&seed.to_le_bytes());
        let draw = |below: u8| u32::from(entropy.bytes::<1>()[0] % below);
        let mut plain = Plain::default();
        let (mut packs, mut own) = (0, Vec::new());
        for _ in 0..draw(30) {
            let new: Vec<PackInfo> = (0..=draw(3)).map(|_| {
                let frames: Vec<Vec<u32>> = (0..=draw(3))
                    .map(|_| (0..=draw(6)).map(|_| draw(100)).collect())
                    .collect();
                // One number in four is of a pack that was there before.
                packs += draw(4).min(1);
                let known = plain.packs();
                let made = pack(packs, &frames);
                known.get(&made.id).map_or(made, |old| (*old).clone())
            }).collect();
            // Two packs of one name in one segment would be two packs of one name.
            let new: BTreeMap<PackId, PackInfo> = new.into_iter().map(|it| (it.id, it)).collect();
            plain.add(&new.into_values().collect::<Vec<_>>());
            if draw(5) == 0 {
                let gone = *plain.segments.keys().next().unwrap();
                plain.segments.remove(&gone);
            }
            let some = (draw(3) > 0).then(|| cache(&dir));
            let mut index = plain.open_with(some.as_ref(), 10);
            plain.check(&index);
            let more = pack(5000 + packs, &[vec![draw(100)], vec![draw(100), 3]]);
            index.add(&more);
            own.push(more.clone());
            check(&index, plain.packs().values().copied().chain([&more]));
        }
    }
}
