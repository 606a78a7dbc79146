//! Tests of the keyring's seals, names and signatures.

use super::testing::{bodies, keyring};
use super::*;
use crate::error::{Error, Kind};
use crate::model::{
    Class, Codec, Entropy, FrameKind, HashedNumber, ObjectKind, Purpose, RepositoryId, SnapshotId,
};

const SID: SnapshotId = SnapshotId([7; 16]);

/// Every way of changing one byte of `bytes`, and every shortening and a lengthening.
fn each_harm(bytes: &[u8], mut check: impl FnMut(&[u8], usize)) {
    let mut harmed = bytes.to_vec();
    for at in 0..bytes.len() {
        harmed[at] ^= 1 << (at % 8);
        check(&harmed, at);
        harmed[at] = bytes[at];
    }
    for len in (0..bytes.len()).step_by(37) {
        check(&bytes[..len], len);
    }
    harmed.push(0);
    check(&harmed, bytes.len());
}

#[test]
fn a_sealed_object_opens_to_its_body_and_has_a_padded_length() {
    let entropy = Entropy::fixed(b"objects");
    let keyring = keyring(&entropy, &[]);
    for len in [0, 1, 4007, 4008, 4009, 70_000, 1_200_000] {
        let body = vec![3; len];
        let sealed =
            keyring.seal_object(&entropy, ObjectKind::Segment, &Place::none(), &body).unwrap();
        assert_eq!(sealed.len() as u64, padded_len(len as u64 + 88));
        let opened = keyring.open_object(ObjectKind::Segment, &Place::none(), &sealed).unwrap();
        assert_eq!(opened, body);
    }
}

#[test]
fn every_flip_and_cut_of_a_sealed_object_is_refused() {
    let entropy = Entropy::fixed(b"flips");
    let keyring = keyring(&entropy, &[]);
    let place = Place::number(4);
    let sealed = keyring.seal_object(&entropy, ObjectKind::Fate, &place, b"the body").unwrap();
    each_harm(&sealed, |harmed, at| {
        assert!(keyring.open_object(ObjectKind::Fate, &place, harmed).is_err(), "byte {at}");
    });
}

#[test]
fn a_sealed_object_opens_only_as_its_kind_in_its_place_and_repository() {
    let entropy = Entropy::fixed(b"places");
    let (ours, theirs) = (keyring(&entropy, &[]), keyring(&entropy, &[]));
    let place = Place::snapshot(3, &SID);
    let sealed = ours.seal_object(&entropy, ObjectKind::Snapshot, &place, b"body").unwrap();
    assert!(ours.open_object(ObjectKind::Snapshot, &place, &sealed).is_ok());
    assert!(theirs.open_object(ObjectKind::Snapshot, &place, &sealed).is_err());
    assert!(ours.open_object(ObjectKind::Forget, &place, &sealed).is_err());
    for other in [Place::snapshot(4, &SID), Place::none(), Place::forget(&SID, 3)] {
        let error = ours.open_object(ObjectKind::Snapshot, &other, &sealed).unwrap_err();
        assert_eq!(error, CryptoError::Broken { what: "the object" });
        assert_eq!(Error::from(error).kind(), Kind::Corrupt);
    }
    let mut kind = sealed.clone();
    kind[2] = ObjectKind::Forget.code();
    assert!(ours.open_object(ObjectKind::Forget, &place, &kind).is_err());
}

#[test]
fn an_unknown_scheme_version_or_epoch_is_named() {
    let entropy = Entropy::fixed(b"versions");
    let keyring = keyring(&entropy, &[]);
    let sealed = keyring.seal_object(&entropy, ObjectKind::Fate, &Place::none(), b"x").unwrap();
    let open = |at: usize, value: u8| {
        let mut changed = sealed.clone();
        changed[at] = value;
        keyring.open_object(ObjectKind::Fate, &Place::none(), &changed).unwrap_err()
    };
    assert_eq!(open(0, 2), CryptoError::Scheme { found: 2 });
    assert_eq!(Error::from(open(1, 2)).kind(), Kind::Unsupported);
    assert_eq!(open(4, 9), CryptoError::UnknownEpoch { epoch: 9 });
}

#[test]
fn signatures_are_good_bad_or_unknown() {
    let entropy = Entropy::fixed(b"authors");
    let (known, stranger) = (Author::generate(&entropy), Author::generate(&entropy));
    let keyring = keyring(&entropy, &[&known]);
    let (kind, place) = (ObjectKind::Forget, Place::forget(&SID, 2));
    let signed = |author: &Author| {
        let sealed = keyring.seal_signed(&entropy, author, kind, &place, b"cbor").unwrap();
        keyring.open_signed(kind, &place, &sealed).unwrap()
    };
    let check = |signed: &Signed, kind, place: &Place, author: &Author| {
        keyring.check_signature(signed, kind, place, &author.host())
    };
    let good = signed(&known);
    assert_eq!(good.cbor, b"cbor");
    assert_eq!(check(&good, kind, &place, &known), SignatureState::Good);
    assert_eq!(check(&good, kind, &Place::forget(&SID, 3), &known), SignatureState::Bad);
    assert_eq!(check(&good, ObjectKind::Record, &place, &known), SignatureState::Bad);
    assert_eq!(check(&signed(&stranger), kind, &place, &known), SignatureState::Bad);
    assert_eq!(check(&signed(&stranger), kind, &place, &stranger), SignatureState::UnknownAuthor);
    let again = Author::from_bytes(&known.to_bytes());
    assert_eq!((again.host(), again.public()), (known.host(), known.public()));
}

#[test]
fn frames_and_the_footer_of_a_pack_open_only_as_they_were_sealed() {
    let entropy = Entropy::fixed(b"packs");
    let keyring = keyring(&entropy, &[]);
    let sealer = keyring.new_pack(&entropy, Class::S, Purpose::Data).unwrap();
    let (full, zstd) = (FrameKind::Full, Codec::Zstd);
    let mut frame = vec![1; 3];
    sealer.seal_frame(40, full, zstd, 900, b"payload", &mut frame).unwrap();
    assert_eq!(frame.len(), 7 + SEAL_OVERHEAD);

    let header = Header::decode(&sealer.header(), ObjectKind::Frame).unwrap();
    let opener = keyring.pack_opener(header.epoch, &header.salt, Class::S, Purpose::Data).unwrap();
    let open = |position, kind, codec, plain_len, sealed: &[u8]| {
        let mut payload = vec![2; 100];
        opener.open_frame(position, kind, codec, plain_len, sealed, &mut payload).map(|()| payload)
    };
    assert_eq!(open(40, full, zstd, 900, &frame).unwrap(), b"payload");
    assert!(open(41, full, zstd, 900, &frame).is_err());
    assert!(open(40, FrameKind::Delta, zstd, 900, &frame).is_err());
    assert!(open(40, full, Codec::Raw, 900, &frame).is_err());
    assert!(open(40, full, zstd, 901, &frame).is_err());
    each_harm(&frame, |harmed, at| {
        assert!(open(40, full, zstd, 900, harmed).is_err(), "byte {at}");
    });

    let offset = 40 + frame.len() as u64;
    let tail = sealer.seal_footer(offset, b"footer body").unwrap();
    let pack_len = offset + tail.len() as u64;
    assert_eq!(pack_len, padded_len(pack_len));
    let (sealed, len) = tail.split_last_chunk::<8>().unwrap();
    assert_eq!(u64::from_le_bytes(*len), sealed.len() as u64);
    let open = |offset, sealed: &[u8]| keyring.open_footer(&sealer.header(), offset, sealed);
    assert_eq!(open(offset, sealed).unwrap(), b"footer body");
    assert!(open(offset + 1, sealed).is_err());
    each_harm(sealed, |harmed, at| assert!(open(offset, harmed).is_err(), "byte {at}"));
}

#[test]
fn names_differ_by_class_purpose_and_repository() {
    let entropy = Entropy::fixed(b"names");
    let (ours, theirs) = (keyring(&entropy, &[]), keyring(&entropy, &[]));
    let ids = [
        ours.data_id(Class::Ordinary, b"x").unwrap(),
        ours.node_id(Class::Ordinary, b"x").unwrap(),
        ours.data_id(Class::S, b"x").unwrap(),
        ours.node_id(Class::S, b"x").unwrap(),
        theirs.data_id(Class::Ordinary, b"x").unwrap(),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_ne!(ours.gear_table(), theirs.gear_table());
    assert_ne!(ours.page_cut_key(), theirs.page_cut_key());
    assert!(ours.chunk_id(Class::Ordinary, Purpose::Control, b"x").is_err());
}

#[test]
fn without_the_keys_of_class_s_the_rest_still_works() {
    let entropy = Entropy::fixed(b"no secrets");
    let (body, _) = bodies(&entropy);
    let keyring = Keyring::new(&KeyringParts {
        repository: RepositoryId([1; 16]),
        ring: HashedNumber::NONE,
        body: &body,
        secrets: None,
        chunker_secret: &Secret32::new([2; 32]),
    });
    assert!(keyring.new_pack(&entropy, Class::Ordinary, Purpose::Metadata).is_ok());
    let error = keyring.new_pack(&entropy, Class::S, Purpose::Data).err().unwrap();
    assert_eq!(error, CryptoError::NoSecretsKey);
    assert_eq!(Error::from(keyring.data_id(Class::S, b"x").unwrap_err()).kind(), Kind::Refused);
    assert!(!keyring.has_secrets());
}
