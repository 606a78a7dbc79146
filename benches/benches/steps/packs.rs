//! Sealed frames, and the pack they stand in.

use coffer_engine::frame;
use coffer_engine::model::{Chunk, ChunkId, Class, Codec, Entropy, FrameKind, PackInfo, Purpose};
use coffer_engine::pack::{NewFrame, PackBuilder, read_footer};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use crate::input::{FRAME_LEN, random, text};
use crate::keyring::keyring;

const FRAME_COUNT: usize = 16;
const FRAME_CHUNK_COUNT: usize = 64;

/// The cipher alone.
#[divan::bench]
fn sealing(bencher: Bencher<'_, '_>) {
    let sealer =
        keyring().new_pack(&Entropy::fixed(b"bench"), Class::Ordinary, Purpose::Data).unwrap();
    let (payload, plain_len) = (random(FRAME_LEN), u32::try_from(FRAME_LEN).unwrap());
    let (kind, codec, mut sealed) = (FrameKind::Full, Codec::Raw, Vec::new());
    bencher
        .counter(BytesCount::of_slice(&payload))
        .bench_local(|| sealer.seal_frame(40, kind, codec, plain_len, &payload, &mut sealed));
}

#[divan::bench]
fn opening(bencher: Bencher<'_, '_>) {
    let sealer =
        keyring().new_pack(&Entropy::fixed(b"bench"), Class::Ordinary, Purpose::Data).unwrap();
    let (payload, plain_len) = (random(FRAME_LEN), u32::try_from(FRAME_LEN).unwrap());
    let kind = FrameKind::Full;
    let (codec, mut sealed, mut opened) = (Codec::Raw, Vec::new(), Vec::new());
    sealer.seal_frame(40, kind, codec, plain_len, &payload, &mut sealed).unwrap();
    let opener = sealer.opener();
    bencher
        .counter(BytesCount::of_slice(&payload))
        .bench_local(|| opener.open_frame(40, kind, codec, plain_len, &sealed, &mut opened));
}

/// Seals one frame, opens it again, expands it and names its chunks, as every backup does.
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
        .bench_values(|placed| placed.seal(&keyring, Default::default()).unwrap());
}

/// Lays out and ends a pack whose frames are sealed already: its hash and its footer.
#[divan::bench]
fn finishing_a_pack(bencher: Bencher<'_, '_>) {
    let keyring = keyring();
    let (frames, sealed) = frames(16 << 10);
    let bytes: usize = sealed.iter().map(Vec::len).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| frames.clone())
        .bench_values(|frames| finish(&keyring, frames, &sealed));
}

#[divan::bench]
fn reading_a_footer(bencher: Bencher<'_, '_>) {
    let keyring = keyring();
    let (frames, sealed) = frames(1 << 10);
    let (pack, info) = finish(&keyring, frames, &sealed);
    let read = |offset: u64, len: usize| {
        let start = usize::try_from(offset).unwrap();
        Ok(pack[start..start + len].to_vec())
    };
    bencher
        .counter(ItemsCount::new(info.footer.chunks.len()))
        .bench(|| read_footer(&keyring, info.id, info.pack_len, &read).unwrap());
}

/// Frames of random bytes in chunks, and bytes as long as their seals.
fn frames(chunk_len: u32) -> (Vec<NewFrame>, Vec<Vec<u8>>) {
    let entropy = Entropy::fixed(b"chunks of a benchmark");
    let frame = |_| {
        let chunk = |_| Chunk { id: ChunkId(entropy.bytes()), len: chunk_len };
        let chunks: Vec<Chunk> = (0..FRAME_CHUNK_COUNT).map(chunk).collect();
        let plain = random(chunk_len as usize * FRAME_CHUNK_COUNT);
        NewFrame::full(frame::raw(plain).unwrap(), chunks)
    };
    let frames: Vec<_> = (0..FRAME_COUNT).map(frame).collect();
    let sealed = frames.iter().map(|frame| random(frame.sealed_len())).collect();
    (frames, sealed)
}

fn finish(
    keyring: &coffer_engine::crypto::Keyring,
    frames: Vec<NewFrame>,
    sealed: &[Vec<u8>],
) -> (Vec<u8>, PackInfo) {
    let entropy = Entropy::fixed(b"bench");
    let sealer = keyring.new_pack(&entropy, Class::Ordinary, Purpose::Data).unwrap();
    let mut builder = PackBuilder::new(sealer);
    let mut pack = builder.header();
    for (frame, sealed) in frames.into_iter().zip(sealed) {
        drop(builder.place(frame).unwrap());
        builder.append(sealed);
        pack.extend_from_slice(sealed);
    }
    let (tail, info) = builder.finish(keyring).unwrap();
    pack.extend_from_slice(&tail);
    (pack, info)
}
