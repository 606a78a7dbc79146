//! Mutations of valid encodings through every decoder: none may panic. Seeded, so that a failure comes
//! again; `fuzz/` searches further.

#[path = "../../fuzz/src/lib.rs"]
mod decoders;
mod samples;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use coffer_engine::model::Entropy;

/// Inputs for each decoder.
const INPUT_COUNT: u32 = 20_000;
/// What one input may take; far above what any takes, so that a slow machine passes.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);
const SEED: &[u8] = b"mutations of encodings, 1";
/// Numbers on which lengths and counts turn.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX];

#[test]
fn no_decoder_panics_on_mutations_of_valid_encodings() {
    for (name, decode) in decoders::DECODERS {
        let samples = samples::of(name);
        assert!(!samples.is_empty(), "{name} has no sample");
        let random = Entropy::fixed(SEED);
        for count in 0..INPUT_COUNT {
            let sample = &samples[below(&random, samples.len())];
            let input = mutated(sample, &samples, &random);
            let start = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| decode(&input)));
            assert!(outcome.is_ok(), "{name} panicked at input {count}: {input:02x?}");
            assert!(
                start.elapsed() < INPUT_TIME_MAX,
                "{name} is slow at input {count}: {input:02x?}"
            );
        }
    }
}

#[test]
fn every_sample_is_valid() {
    for (name, _) in decoders::DECODERS {
        for (number, sample) in samples::of(name).iter().enumerate() {
            assert!(samples::decodes(name, sample), "sample {number} of {name}");
        }
    }
}

/// One to eight changes of `sample`.
fn mutated(sample: &[u8], samples: &[Vec<u8>], random: &Entropy) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=below(random, 8) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = below(random, bytes.len());
        match below(random, 8) {
            0 => bytes[at] ^= 1 << below(random, 8),
            1 => bytes[at] = below(random, 256) as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, below(random, 256) as u8),
            4 => put_edge(&mut bytes, at, random),
            5 => {
                let end = at + below(random, bytes.len() - at + 1);
                bytes.drain(at..end);
            }
            6 => {
                let end = (at + below(random, 64)).min(bytes.len());
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => {
                let other = &samples[below(random, samples.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
        }
    }
    bytes
}

fn put_edge(bytes: &mut [u8], at: usize, random: &Entropy) {
    let edge = EDGES[below(random, EDGES.len())];
    let little = below(random, 2) == 0;
    let width = 1 << below(random, 4);
    let number = if little { edge.to_le_bytes() } else { edge.to_be_bytes() };
    let number = if little { &number[..width] } else { &number[8 - width..] };
    for (byte, new) in bytes[at..].iter_mut().zip(number) {
        *byte = *new;
    }
}

fn below(random: &Entropy, bound: usize) -> usize {
    (u64::from_le_bytes(random.bytes()) % bound as u64) as usize
}
