//! Throughput of the pure steps of a backup, in bytes of plaintext: `cargo bench -p coffer-benches`.
//! One thread each unless told otherwise; what waits for a disk is not here.

use coffer_engine::chunk::{Cutter, standard_profiles};
use coffer_engine::format::node::{PageBuilder, decode_page};
use coffer_engine::frame;
use coffer_engine::model::{Chunk, Class, Entropy, Purpose};
use coffer_engine::pack::{NewFrame, PackBuilder};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use input::{entries, keyring, text};

mod input;

const FRAME_LEN: usize = 4 << 20;
const PAGE_ENTRY_COUNT: usize = 400;

fn main() {
    divan::main();
}

#[divan::bench(args = ["tree", "media"])]
fn chunking(bencher: Bencher<'_, '_>, profile: &str) {
    let profiles = standard_profiles();
    let profile = profiles.iter().find(|one| one.name == profile).unwrap();
    let cutter = Cutter::new(&keyring().gear_table(), profile).unwrap();
    let plain = text(16 << 20);
    bencher.counter(BytesCount::of_slice(&plain)).bench(|| {
        let (mut rest, mut count) = (&plain[..], 0_u32);
        while let Some(len) = cutter.cut(rest, true) {
            rest = &rest[len..];
            count += 1;
        }
        count
    });
}

#[divan::bench]
fn hashing_chunks_of_64_kib(bencher: Bencher<'_, '_>) {
    let (keyring, plain) = (keyring(), text(4 << 20));
    bencher.counter(BytesCount::of_slice(&plain)).bench(|| {
        for chunk in plain.chunks(64 << 10) {
            divan::black_box(keyring.data_id(Class::Ordinary, chunk).unwrap());
        }
    });
}

#[divan::bench(args = [1, 3])]
fn compressing(bencher: Bencher<'_, '_>, level: i32) {
    let plain = text(FRAME_LEN);
    bencher
        .counter(BytesCount::of_slice(&plain))
        .with_inputs(|| plain.clone())
        .bench_values(|plain| frame::compress(plain, level).unwrap());
}

/// Seals one frame, opens it again, expands it and names its chunks.
#[divan::bench]
fn sealing_and_verifying(bencher: Bencher<'_, '_>) {
    let (keyring, entropy, plain) = (keyring(), Entropy::fixed(b"bench"), text(FRAME_LEN));
    let name = |chunk: &[u8]| Chunk {
        id: keyring.data_id(Class::Ordinary, chunk).unwrap(),
        len: u32::try_from(chunk.len()).unwrap(),
    };
    let chunks: Vec<Chunk> = plain.chunks(64 << 10).map(name).collect();
    let frame = NewFrame::full(frame::compress(plain.clone(), 3).unwrap(), chunks);
    bencher
        .counter(BytesCount::of_slice(&plain))
        .with_inputs(|| {
            let sealer = keyring.new_pack(&entropy, Class::Ordinary, Purpose::Data).unwrap();
            PackBuilder::new(sealer).place(frame.clone()).unwrap()
        })
        .bench_values(|placed| placed.seal(&keyring).unwrap());
}

#[divan::bench]
fn encoding_a_page(bencher: Bencher<'_, '_>) {
    let entries = entries(PAGE_ENTRY_COUNT);
    bencher.counter(ItemsCount::new(entries.len())).bench(|| {
        let mut page = PageBuilder::default();
        entries.iter().for_each(|entry| page.push(entry).unwrap());
        page.finish().unwrap()
    });
}

#[divan::bench]
fn decoding_a_page(bencher: Bencher<'_, '_>) {
    let mut page = PageBuilder::default();
    entries(PAGE_ENTRY_COUNT).iter().for_each(|entry| page.push(entry).unwrap());
    let page = page.finish().unwrap();
    bencher
        .counter(ItemsCount::new(PAGE_ENTRY_COUNT))
        .bench(|| decode_page(divan::black_box(&page)).unwrap());
}
