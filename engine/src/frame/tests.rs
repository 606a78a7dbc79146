use proptest::prelude::*;

use super::*;
use crate::model::Entropy;

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Entropy::fixed(b"frame").fill(&mut bytes);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let line = |number: usize| format!("row {number}: {}\n", number.wrapping_mul(2_654_435_761));
    let mut bytes: Vec<u8> =
        (0..len / 8 + 1).flat_map(|number| line(number).into_bytes()).collect();
    bytes.truncate(len);
    bytes
}

fn check_round_trip(plain: Vec<u8>, codec: Codec) {
    let compressed = compress(plain.clone(), 3).unwrap();
    assert_eq!((compressed.codec, compressed.plain_len as usize), (codec, plain.len()));
    assert_eq!(compressed.level, if codec == Codec::Raw { 0 } else { 3 });
    let back = expand(codec, compressed.payload, compressed.plain_len, None).unwrap();
    assert!(back == plain);
}

#[test]
fn frames_come_back_and_only_what_shrinks_is_compressed() {
    check_round_trip(text(1), Codec::Raw);
    check_round_trip(text(3000), Codec::Zstd);
    check_round_trip(text(4 << 20), Codec::Zstd);
    check_round_trip(vec![7; 16 << 20], Codec::Zstd);
    check_round_trip(random(100), Codec::Raw);
    check_round_trip(random(1 << 20), Codec::Raw);
    check_round_trip([text(128 << 10), random(1 << 20)].concat(), Codec::Zstd);
    check_round_trip(random(2 << 20), Codec::Raw);
}

#[test]
fn frames_outside_the_limits_are_refused() {
    assert_eq!(compress(Vec::new(), 3).unwrap_err().kind(), Kind::Input);
    assert_eq!(compress(vec![0; (16 << 20) + 1], 3).unwrap_err().kind(), Kind::Input);
    for level in [0, 23, -200] {
        assert_eq!(compress(vec![0; 9], level).unwrap_err().kind(), Kind::Input);
    }
    for prefix in [0, (1 << 20) + 1] {
        assert!(compress_delta(&[0; 9], &vec![0; prefix], 3).is_err());
        let payload = compress(text(3000), 3).unwrap().payload;
        assert!(expand(Codec::Zstd, payload, 3000, Some(&vec![0; prefix])).is_err());
    }
}

#[test]
fn a_delta_is_small_and_needs_its_prefix() {
    let prefix = random(1 << 20);
    let mut plain = prefix.clone();
    plain[5000] ^= 1;
    plain.splice(700_000..700_000, *b"inserted");
    let delta = compress_delta(&plain, &prefix, 3).unwrap();
    assert!(delta.payload.len() < 2000, "{}", delta.payload.len());
    let expand_with =
        |prefix: Option<&[u8]>| expand(Codec::Zstd, delta.payload.clone(), delta.plain_len, prefix);
    assert!(expand_with(Some(&prefix)).unwrap() == plain);
    assert_eq!(expand_with(None).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(expand_with(Some(&prefix[..1000])).unwrap_err().kind(), Kind::Corrupt);
    let full = compress(text(3000), 3).unwrap().payload;
    assert!(expand(Codec::Zstd, full, 3000, None).is_ok());
}

#[test]
fn a_payload_of_another_length_than_promised_is_refused() {
    let payload = compress(vec![0; 1 << 20], 3).unwrap().payload;
    for plain_len in [0, 1, (1 << 20) - 1, (1 << 20) + 1, 16 << 20, u32::MAX] {
        let error = expand(Codec::Zstd, payload.clone(), plain_len, None).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
    }
    assert!(expand(Codec::Raw, vec![0; 10], 11, None).is_err());
    assert!(expand(Codec::Raw, vec![0; 10], 10, Some(b"prefix")).is_err());
    for len in 0..payload.len() {
        assert!(expand(Codec::Zstd, payload[..len].to_vec(), 1 << 20, None).is_err(), "{len}");
    }
}

/// A frame of `len` equal bytes by run-length blocks, with a header of our own.
fn bomb(descriptor: &[u8], len: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    frame.extend(descriptor);
    let mut left = len;
    while left > 0 {
        let block = left.min(128 << 10);
        left -= block;
        let header = block << 3 | 1 << 1 | u32::from(left == 0);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(b'x');
    }
    frame
}

#[test]
fn hostile_headers_are_refused() {
    let len = 1_u32 << 20;
    let size = len.to_le_bytes();
    let with = |descriptor: u8, window: &[u8], size: &[u8]| {
        let header = [&[descriptor], window, size].concat();
        expand(Codec::Zstd, bomb(&header, len), len, None)
    };
    assert_eq!(with(0xa0, &[], &size).unwrap(), vec![b'x'; 1 << 20]);
    assert!(with(0x80, &[15 << 3], &size).is_ok());
    assert!(with(0x80, &[15 << 3 | 1], &size).is_err(), "a window above 2^25");
    assert!(with(0x80, &[0xff], &size).is_err(), "a window of terabytes");
    assert!(with(0x00, &[10 << 3], &[]).is_err(), "no content size");
    assert!(with(0xa4, &[], &size).is_err(), "a checksum");
    assert!(with(0xa1, &[7], &size).is_err(), "a dictionary id");
    assert!(with(0xa8, &[], &size).is_err(), "a reserved bit");
    assert!(with(0xa0, &[], &(len / 2).to_le_bytes()).is_err(), "a size that is too small");
    assert!(with(0xe0, &[], &u64::MAX.to_le_bytes()).is_err(), "a size beyond all memory");

    let lying = bomb(&[&[0xa0], &size[..]].concat(), 16 << 20);
    assert!(expand(Codec::Zstd, lying, len, None).is_err(), "blocks beyond the content size");
    let one = compress(text(3000), 3).unwrap().payload;
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], &one[..]].concat();
    assert!(expand(Codec::Zstd, skippable, 3000, None).is_err(), "a skippable frame");
    let followed = [&one[..], &[0]].concat();
    assert!(expand(Codec::Zstd, followed, 3000, None).is_err(), "bytes behind the frame");
    let twice = [&one[..], &one[..]].concat();
    assert!(expand(Codec::Zstd, twice, 6000, None).is_err(), "two frames");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_payloads_never_give_another_length(
        at in 0..1000_usize, bits in 1..=255_u8, delta in any::<bool>(),
    ) {
        let (plain, prefix) = (text(20_000), random(5000));
        let prefix = delta.then_some(&prefix[..]);
        let mut payload = match prefix {
            Some(prefix) => compress_delta(&plain, prefix, 3).unwrap().payload,
            None => compress(plain, 3).unwrap().payload,
        };
        let at = at % payload.len();
        payload[at] ^= bits;
        if let Ok(plain) = expand(Codec::Zstd, payload, 20_000, prefix) {
            prop_assert_eq!(plain.len(), 20_000);
        }
    }
}
