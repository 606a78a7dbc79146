//! Chunks to one compressed run, and back.

use coffer_engine::frame;
use divan::Bencher;
use divan::counter::BytesCount;

use crate::input::{FRAME_LEN, random, text};

#[divan::bench(args = [1, 3])]
fn compressing(bencher: Bencher<'_, '_>, level: i32) {
    compress(bencher, &text(FRAME_LEN), level);
}

/// What finding out costs that a frame does not shrink.
#[divan::bench]
fn compressing_random(bencher: Bencher<'_, '_>) {
    compress(bencher, &random(FRAME_LEN), 3);
}

fn compress(bencher: Bencher<'_, '_>, plain: &[u8], level: i32) {
    bencher
        .counter(BytesCount::of_slice(plain))
        .with_inputs(|| plain.to_vec())
        .bench_values(|plain| frame::compress(plain, level).unwrap());
}

#[divan::bench]
fn expanding(bencher: Bencher<'_, '_>) {
    let compressed = frame::compress(text(FRAME_LEN), 3).unwrap();
    bencher
        .counter(BytesCount::new(compressed.plain_len))
        .with_inputs(|| compressed.payload.clone())
        .bench_values(|payload| {
            frame::expand(compressed.codec, payload, compressed.plain_len, None).unwrap()
        });
}

#[divan::bench]
fn compressing_a_delta(bencher: Bencher<'_, '_>) {
    let (plain, prefix) = changed();
    bencher
        .counter(BytesCount::of_slice(&plain))
        .bench(|| frame::compress_delta(&plain, &prefix, 3).unwrap());
}

#[divan::bench]
fn expanding_a_delta(bencher: Bencher<'_, '_>) {
    let (plain, prefix) = changed();
    let compressed = frame::compress_delta(&plain, &prefix, 3).unwrap();
    bencher
        .counter(BytesCount::of_slice(&plain))
        .with_inputs(|| compressed.payload.clone())
        .bench_values(|payload| {
            let (codec, plain_len) = (compressed.codec, compressed.plain_len);
            frame::expand(codec, payload, plain_len, Some(&prefix)).unwrap()
        });
}

/// A run of 256 KiB of which a byte in each 4 KiB changed, and what it was.
fn changed() -> (Vec<u8>, Vec<u8>) {
    let before = text(256 << 10);
    let mut after = before.clone();
    after.iter_mut().step_by(4 << 10).for_each(|byte| *byte ^= 0x55);
    (after, before)
}
