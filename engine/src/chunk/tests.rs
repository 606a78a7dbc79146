use super::*;

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn gear(seed: u64) -> [u64; 256] {
    let bytes = random(seed, 2048);
    std::array::from_fn(|at| u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().unwrap()))
}

fn cutter(name: &str) -> Cutter {
    let profile = standard_profiles().into_iter().find(|profile| profile.name == name).unwrap();
    Cutter::new(&gear(7), &profile).unwrap()
}

fn cuts(cutter: &Cutter, mut bytes: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let Some(len) = cutter.cut(bytes, true) {
        lens.push(len);
        bytes = &bytes[len..];
    }
    lens
}

/// The text of the format's page 7, word by word.
fn cut_by_the_text(cutter: &Cutter, bytes: &[u8]) -> usize {
    let n = bytes.len();
    if n <= cutter.min {
        return n;
    }
    let m = n.min(cutter.max);
    let c = cutter.avg.min(m);
    let mut h = 0_u64;
    let middle = (c / 2 * 2).max(cutter.min);
    for (at, byte) in bytes.iter().enumerate().take(m / 2 * 2).skip(cutter.min) {
        h = (h << 1).wrapping_add(cutter.gear[usize::from(*byte)]);
        let mask = if at < middle { cutter.mask_s } else { cutter.mask_l };
        if h & mask == 0 {
            return at;
        }
    }
    m
}

/// Random bytes with long runs and low-entropy stretches, and an odd length.
fn mixed() -> Vec<u8> {
    let mut bytes = random(1, 3_000_000);
    bytes.extend(random(2, 1_500_000).iter().map(|byte| byte & 3));
    bytes.resize(bytes.len() + 700_000, 0);
    bytes.extend(random(3, 333_333));
    bytes
}

#[test]
fn cuts_are_those_of_the_text() {
    let bytes = mixed();
    for name in ["tree", "media", "large", "sqlite"] {
        let cutter = cutter(name);
        let mut rest = &bytes[..];
        while let Some(len) = cutter.cut(rest, true) {
            assert_eq!(len, cut_by_the_text(&cutter, rest), "{name}, {} bytes left", rest.len());
            rest = &rest[len..];
        }
    }
    for avg in averages() {
        let avg = u32::try_from(avg).unwrap();
        let profile = Profile { min: avg / 4, avg, max: avg * 4, ..standard_profiles().remove(0) };
        let cutter = Cutter::new(&gear(7), &profile).unwrap();
        let mut rest = &bytes[..];
        while let Some(len) = cutter.cut(rest, true) {
            assert_eq!(len, cut_by_the_text(&cutter, rest), "{avg}, {} bytes left", rest.len());
            rest = &rest[len..];
        }
    }
    let cutter = cutter("tree");
    for len in [1, 2, 16_383, 16_384, 16_385, 16_386, 65_535, 65_537, 262_143, 262_144, 262_145] {
        let bytes = &bytes[bytes.len() - 400_000..][..len];
        assert_eq!(cutter.cut(bytes, true), Some(cut_by_the_text(&cutter, bytes)), "{len}");
    }
}

#[test]
fn masks_are_those_of_the_pinned_crate_at_level_two() {
    use fastcdc::v2020::{Normalization, select_masks};
    for (avg, mask_s, mask_l) in MASKS {
        let wanted = select_masks(usize::try_from(avg).unwrap(), Normalization::Level2);
        assert_eq!((mask_s, mask_l), wanted, "{avg}");
    }
}

#[test]
fn pieces_of_a_stream_are_cut_like_the_whole() {
    let bytes = mixed();
    let cutter = cutter("tree");
    let (mut buffer, mut lens) = (Vec::new(), Vec::new());
    let mut pieces = bytes.chunks(77_777).peekable();
    while let Some(piece) = pieces.next() {
        buffer.extend_from_slice(piece);
        while let Some(len) = cutter.cut(&buffer, pieces.peek().is_none()) {
            lens.push(len);
            buffer.drain(..len);
        }
    }
    assert!(buffer.is_empty());
    assert_eq!(lens, cuts(&cutter, &bytes));
    assert!(lens.len() > 30);
}

#[test]
fn an_insertion_moves_only_the_cuts_near_it() {
    let bytes = random(9, 4_000_000);
    let mut other = bytes.clone();
    other.splice(1_000_000..1_000_000, *b"inserted");
    let cutter = cutter("tree");
    let ends = |bytes: &[u8]| {
        let mut end = 0;
        let ends = cuts(&cutter, bytes).into_iter().map(|len| {
            end += len;
            bytes.len() - end
        });
        ends.collect::<std::collections::BTreeSet<_>>()
    };
    let (before, after) = (ends(&bytes), ends(&other));
    let lost = before.difference(&after).count();
    assert!(lost < before.len() / 3, "{lost} of {}", before.len());
}

#[test]
fn no_bytes_and_too_few_bytes_give_no_chunk() {
    let cutter = cutter("tree");
    assert_eq!(cutter.cut(b"", true), None);
    assert_eq!(cutter.cut(&[0; 262_143], false), None);
    assert_eq!(cutter.cut(&[1; 3], true), Some(3));
}

#[test]
fn unsound_profiles_are_refused() {
    let sound = standard_profiles().remove(0);
    let refused = |change: fn(&mut Profile)| {
        let mut profile = sound.clone();
        change(&mut profile);
        let kind = Cutter::new(&gear(7), &profile).map(|_| ()).unwrap_err().kind();
        assert_eq!(kind, Kind::Unsupported, "{profile:?}");
    };
    refused(|profile| profile.min = 0);
    refused(|profile| profile.min = 16_385);
    refused(|profile| profile.max = 65_534);
    refused(|profile| profile.avg = 98_304);
    refused(|profile| profile.max = u32::MAX - 1);
}

#[test]
fn media_are_long_and_incompressible() {
    let noise = random(4, PROBE_LEN);
    assert!(is_media(&noise, MEDIA_LEN_MIN));
    assert!(is_media(&random(5, PROBE_LEN + 9), u64::MAX));
    assert!(!is_media(&noise, MEDIA_LEN_MIN - 1));
    assert!(!is_media(&noise[1..], MEDIA_LEN_MIN));
    let text = b"INSERT INTO rows VALUES (1, 'text');\n".repeat(2000);
    assert!(!is_media(&text, u64::MAX));
    assert!(!is_media(&[0; PROBE_LEN], u64::MAX));
    // The rule's edge: 1024 * sum of squares = 5 * n * n holds, a little more does not.
    let mut edge: Vec<u8> = (0..PROBE_LEN).map(|at| (at % 205) as u8).collect();
    assert!(is_media(&edge, u64::MAX));
    edge.iter_mut().filter(|byte| **byte >= 200).for_each(|byte| *byte = 0);
    assert!(!is_media(&edge, u64::MAX));
}
