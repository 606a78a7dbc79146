//! Chunk id to place, among a million.

use coffer_engine::format::segment;
use coffer_engine::index::Index;
use coffer_engine::model::{ChunkId, Entropy, PackInfo, SegmentId};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use crate::input::pack_info;

const PACK_COUNT: u32 = 500;
const PACK_CHUNK_COUNT: usize = 2000;
/// Packs that one segment tells of.
const SEGMENT_PACK_COUNT: usize = 50;
const LOOK_UP_COUNT: usize = 10_000;

#[divan::bench]
fn looking_up_known_chunks(bencher: Bencher<'_, '_>) {
    let (index, packs) = (index(&packs()), packs());
    let every = PACK_COUNT as usize * PACK_CHUNK_COUNT / LOOK_UP_COUNT;
    let chunks = packs.iter().flat_map(|pack| &pack.footer.chunks).step_by(every);
    let ids: Vec<ChunkId> = chunks.map(|chunk| chunk.id).collect();
    assert!(ids.iter().all(|id| index.find(id).len() == 1));
    look_up(bencher, &index, &ids);
}

#[divan::bench]
fn looking_up_new_chunks(bencher: Bencher<'_, '_>) {
    let (index, entropy) = (index(&packs()), Entropy::fixed(b"chunks that are nowhere"));
    let ids: Vec<ChunkId> = (0..LOOK_UP_COUNT).map(|_| ChunkId(entropy.bytes())).collect();
    assert!(ids.iter().all(|id| index.find(id).is_empty()));
    look_up(bencher, &index, &ids);
}

fn look_up(bencher: Bencher<'_, '_>, index: &Index, ids: &[ChunkId]) {
    bencher
        .counter(ItemsCount::new(ids.len()))
        .bench(|| ids.iter().filter(|id| index.contains(divan::black_box(id), &|_| true)).count());
}

/// What a host without a cache does with the segments of a repository; items are chunks.
#[divan::bench(sample_count = 10)]
fn building_the_index(bencher: Bencher<'_, '_>) {
    let packs = packs();
    let chunk_count = PACK_COUNT as usize * PACK_CHUNK_COUNT;
    bencher.counter(ItemsCount::new(chunk_count)).bench(|| index(&packs));
}

#[divan::bench]
fn decoding_a_segment(bencher: Bencher<'_, '_>) {
    let packs = &packs()[..SEGMENT_PACK_COUNT];
    let body = segment::encode(packs).unwrap();
    bencher
        .counter(ItemsCount::new(SEGMENT_PACK_COUNT * PACK_CHUNK_COUNT))
        .counter(BytesCount::of_slice(&body))
        .bench(|| segment::decode(divan::black_box(&body)).unwrap());
}

fn packs() -> Vec<PackInfo> {
    (0..PACK_COUNT).map(|number| pack_info(number, PACK_CHUNK_COUNT)).collect()
}

/// An index without a cache, in files without a name.
fn index(packs: &[PackInfo]) -> Index {
    let segments: Vec<&[PackInfo]> = packs.chunks(SEGMENT_PACK_COUNT).collect();
    let ids = |number: usize| (SegmentId([u8::try_from(number).unwrap(); 32]), 1);
    let named: Vec<(SegmentId, u64)> = (0..segments.len()).map(ids).collect();
    let load = |id: SegmentId| Ok(Some(segments[usize::from(id.0[0])].to_vec()));
    Index::open(None, &named, &load).unwrap()
}
