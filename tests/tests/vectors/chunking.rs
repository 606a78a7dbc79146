//! Gear table, cut points, and padding.

use coffer_engine::chunk::{Cutter, standard_profiles};
use coffer_engine::crypto::{Keyring, padded_len};
use coffer_engine::model::Profile;
use serde_json::{Value, json};

use super::content::{lines, stream};
use super::hex;

const MIB: usize = 1 << 20;

/// The lengths of the chunks of `bytes`.
fn cuts(cutter: &Cutter, mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some(length) = cutter.cut(bytes, true) {
        lengths.push(length);
        bytes = &bytes[length..];
    }
    lengths
}

/// The gear table of the golden repository, and where each profile cuts some inputs.
pub fn table(keyring: &Keyring) -> Value {
    let gear = keyring.gear_table();
    let gear_bytes: Vec<u8> = gear.iter().flat_map(|value| value.to_le_bytes()).collect();
    let inputs = [
        ("noise", stream("coffer vectors: input", 8 * MIB)),
        ("text", lines("chunked", 200_000)),
        ("zeros", vec![0; 5 * MIB + 1]),
        ("short", stream("coffer vectors: input", 16384)),
        ("odd", stream("coffer vectors: input", 100_001)),
    ];
    let mut rows = Vec::new();
    for profile in standard_profiles().into_iter().chain(other_averages()) {
        let cutter = Cutter::new(&gear, &profile).unwrap();
        for (name, input) in &inputs {
            rows.push(json!({
                "profile": profile.name,
                "min": profile.min,
                "avg": profile.avg,
                "max": profile.max,
                "input": name,
                "lengths": cuts(&cutter, input),
            }));
        }
    }
    let described = inputs.iter().map(|(name, input)| {
        json!({ "input": name, "length": input.len(), "blake3": hex(blake3::hash(input).as_bytes()) })
    });
    json!({
        "gear_table": hex(&gear_bytes),
        "page_cut_key": hex(&keyring.page_cut_key()),
        "inputs": described.collect::<Vec<_>>(),
        "cuts": rows,
    })
}

/// A profile for each average length that no standard profile has.
fn other_averages() -> impl Iterator<Item = Profile> {
    [16, 32, 128].into_iter().map(|kib: u32| Profile {
        name: format!("avg-{kib}"),
        min: kib << 8,
        avg: kib << 10,
        max: kib << 12,
        delta: false,
    })
}

/// Lengths before padding and the stored lengths.
pub fn padding() -> Value {
    let mut lengths = vec![0, 1, 2, 88, 4095, 4096, 4097, 4608, 5000, 8191, 8192, 8193, 9000];
    lengths.extend([10_000, 65_535, 65_536, 65_537, 100_000, 999_999, 1_048_575, 1_048_576]);
    lengths.extend([1_048_577, 1_100_000, 1_114_112, 1_114_113, 33_554_432, 33_554_433]);
    let rows = lengths.into_iter().map(|length: u64| json!([length, padded_len(length)]));
    json!({ "padded": rows.collect::<Vec<_>>() })
}
