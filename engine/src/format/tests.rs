//! Every body survives encoding and decoding, and no harm to it makes a decoder panic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::crypto::testing::bodies;
use crate::error::{Error, Kind};
use crate::model::*;

fn hash(byte: u8) -> ObjectHash {
    ObjectHash([byte; 32])
}

fn node(height: u8) -> NodeRef {
    NodeRef { id: ChunkId([9; 32]), class: Class::S, height }
}

const RING: HashedNumber = HashedNumber { number: 3, hash: ObjectHash([3; 32]) };
const AUTHOR: HostId = HostId([5; 16]);

fn snapshot() -> Snapshot {
    let source = Source {
        kind: "tree".into(),
        name: "files".into(),
        roots: vec![b"/srv/\xff".to_vec()],
        status: SourceStatus::Complete,
        message: None,
        errors: 2,
        root: Some(node(3)),
        entries: 10,
        bytes: 11,
        profile: "tree".into(),
        parent: Some(ParentRef { sid: SnapshotId([1; 16]), hash: hash(8) }),
        facts: BTreeMap::from([("a".into(), "b".into())]),
        s_data_ids: Some(node(1)),
        s_node_ids: Some(node(2)),
    };
    let failed = Source {
        name: "db".into(),
        status: SourceStatus::Failed,
        message: Some("no answer".into()),
        root: None,
        parent: None,
        s_data_ids: None,
        s_node_ids: None,
        ..source.clone()
    };
    Snapshot {
        sid: SnapshotId([4; 16]),
        seq: 1,
        generation: 6,
        state: SnapshotState::Partial,
        host: "host".into(),
        job: "job".into(),
        tags: vec!["one".into(), "two".into()],
        started_ns: -5,
        finished_ns: i64::MAX,
        tool: "coffer 0.1".into(),
        author: AUTHOR,
        ring: RING,
        head: HashedNumber::NONE,
        bad_seen: vec![hash(1), hash(2)],
        totals: Totals { entries: 1, data_stored: u64::MAX, ..Totals::default() },
        sources: vec![source, failed],
        pending: vec![node(0)],
    }
}

fn config() -> ConfigBody {
    ConfigBody {
        repository: RepositoryId([2; 16]),
        created_ns: 1,
        chunker: 1,
        chunker_secret: Secret32::new([7; 32]),
        profiles: vec![Profile { name: "tree".into(), min: 2, avg: 8, max: 32, delta: true }],
        zstd_level: -7,
        frame_len: 1 << 20,
        pack_len: 32 << 20,
    }
}

fn ring() -> RingBody {
    let recipient = Recipient {
        slot: SlotId([6; 16]),
        public: [8; 32],
        label: "laptop".into(),
        kind: SlotKind::KeyFile,
        created_ns: 3,
        secrets: true,
    };
    let (body, _) = bodies(&Entropy::fixed(b"ring"));
    let author = EnrolledAuthor { host: AUTHOR, name: "host".into(), public: [1; 32] };
    RingBody {
        number: 4,
        recipients: vec![recipient],
        authors: vec![author],
        config: Some(SecretBytes::new(b"config".to_vec())),
        ..body
    }
}

fn slot_body() -> SlotBody {
    SlotBody {
        x25519: Secret32::new([1; 32]),
        ring: 4,
        ring_public: [2; 32],
        label: "ключ".into(),
        created_ns: 1,
    }
}

fn forget() -> Forget {
    Forget {
        sid: SnapshotId([1; 16]),
        k: 2,
        undo: true,
        objects: vec![ForgottenObject { generation: 3, hash: hash(4) }],
        author: AUTHOR,
        created_ns: 9,
        ring: RING,
    }
}

fn record(body: RecordBody) -> Record {
    Record {
        created_ns: 1,
        author: AUTHOR,
        ring: RING,
        roots: vec![node(2)],
        manifests: vec![node(1)],
        body,
    }
}

fn generation_body() -> Generation {
    Generation {
        number: 2,
        previous: hash(1),
        condemned: vec![PackId([1; 32]), PackId([2; 32])],
        features: Features { read: 0, write: 1, prune: u64::MAX },
        author: AUTHOR,
        created_ns: 1,
        ring: RING,
    }
}

fn close() -> Close {
    let valid = |generation| SnapshotRef { generation, sid: SnapshotId([1; 16]), hash: hash(2) };
    Close {
        number: 2,
        generation: hash(1),
        full: false,
        previous: hash(3),
        // Ascending as stored: little-endian.
        valid_add: vec![valid(256), valid(1)],
        valid_drop: vec![valid(9)],
        deleted_add: vec![PackId([7; 32])],
        deleted_drop: Vec::new(),
        forgets: vec![(SnapshotId([9; 16]), 3)],
        author: AUTHOR,
        created_ns: 1,
        ring: RING,
    }
}

fn fate() -> Fate {
    let fate = FateKind::Undo;
    Fate { number: 1, close: hash(1), fate, author: AUTHOR, created_ns: 1, ring: RING }
}

/// Each body's bytes, and whether its decoder takes other bytes.
type Decoder = fn(&[u8]) -> Result<(), FormatError>;

fn every_body() -> Vec<(Vec<u8>, Decoder)> {
    let (_, secrets) = bodies(&Entropy::fixed(b"secrets"));
    let bad = RecordBody::BadPack { pack: PackId([1; 32]), reason: "seal".into() };
    let verified = RecordBody::Verified { packs: vec![PackId([1; 32])], finished_ns: 1 };
    vec![
        (config::encode(&config()).unwrap().to_vec(), |it| config::decode(it).map(drop)),
        (slot::encode(&slot_body()).unwrap().to_vec(), |it| slot::decode(it).map(drop)),
        (ring::encode(&ring()).unwrap().to_vec(), |it| ring::decode(it).map(drop)),
        (ring::encode_secrets(&secrets).unwrap().to_vec(), |it| ring::decode_secrets(it).map(drop)),
        (snapshot::encode(&snapshot()).unwrap(), |it| snapshot::decode(it).map(drop)),
        (forget::encode(&forget()).unwrap(), |it| forget::decode(it).map(drop)),
        (record::encode(&record(bad)).unwrap(), |it| record::decode(it).map(drop)),
        (record::encode(&record(verified)).unwrap(), |it| record::decode(it).map(drop)),
        (generation::encode(&generation_body()).unwrap(), |it| generation::decode(it).map(drop)),
        (generation::encode_close(&close()).unwrap(), |it| generation::decode_close(it).map(drop)),
        (generation::encode_fate(&fate()).unwrap(), |it| generation::decode_fate(it).map(drop)),
    ]
}

#[test]
fn bodies_survive_encoding_and_decoding() {
    assert_eq!(snapshot::decode(&snapshot::encode(&snapshot()).unwrap()), Ok(snapshot()));
    assert_eq!(config::decode(&config::encode(&config()).unwrap()), Ok(config()));
    assert_eq!(ring::decode(&ring::encode(&ring()).unwrap()), Ok(ring()));
    let first = RingBody { config: None, ..ring() };
    assert_eq!(ring::decode(&ring::encode(&first).unwrap()), Ok(first));
    let (_, secrets) = bodies(&Entropy::fixed(b"secrets"));
    assert_eq!(ring::decode_secrets(&ring::encode_secrets(&secrets).unwrap()), Ok(secrets));
    assert_eq!(slot::decode(&slot::encode(&slot_body()).unwrap()), Ok(slot_body()));
    assert_eq!(forget::decode(&forget::encode(&forget()).unwrap()), Ok(forget()));
    let body = generation_body();
    assert_eq!(generation::decode(&generation::encode(&body).unwrap()), Ok(body));
    assert_eq!(generation::decode_close(&generation::encode_close(&close()).unwrap()), Ok(close()));
    assert_eq!(generation::decode_fate(&generation::encode_fate(&fate()).unwrap()), Ok(fate()));
    for body in [
        RecordBody::BadPack { pack: PackId([1; 32]), reason: "seal".into() },
        RecordBody::Verified { packs: vec![PackId([2; 32]), PackId([1; 32])], finished_ns: 1 },
    ] {
        let record = record(body);
        assert_eq!(record::decode(&record::encode(&record).unwrap()), Ok(record));
    }
}

#[test]
fn cut_and_changed_bodies_never_panic_and_cut_ones_are_refused() {
    for (bytes, decode) in every_body() {
        assert_eq!(decode(&bytes), Ok(()));
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err());
        }
        let mut changed = bytes.clone();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                changed[at] ^= 1 << bit;
                let _ = decode(&changed);
                changed[at] = bytes[at];
            }
        }
        assert!(decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn bodies_with_many_changes_never_panic(
        which in 0..11_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (mut bytes, decode) = every_body().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&bytes);
    }
}

/// A fate with its map header counting `more` pairs more, which follow it.
fn fate_with(more: u8, pairs: &[u8]) -> Vec<u8> {
    let mut bytes = generation::encode_fate(&fate()).unwrap();
    bytes[0] += more;
    bytes.extend_from_slice(pairs);
    bytes
}

#[test]
fn unknown_keys_are_ignored_and_second_values_refused() {
    assert_eq!(generation::decode_fate(&fate_with(1, b"\x63new\x82\x01\xa1\x61a\xf6")), Ok(fate()));
    assert!(generation::decode_fate(&fate_with(1, b"\x61n\x01")).is_err());
    assert!(generation::decode_fate(&fate_with(2, b"\x61x\x01\x61x\x01")).is_err());
}

#[test]
fn another_version_is_unsupported_and_named() {
    let mut bytes = generation::encode_fate(&fate()).unwrap();
    let at = bytes.windows(2).position(|pair| pair == b"\x61v").unwrap() + 2;
    bytes[at] = 2;
    let error = Error::from(generation::decode_fate(&bytes).unwrap_err());
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_record_of_an_unknown_kind_keeps_its_roots() {
    let reason = "seal".to_owned();
    let bytes =
        record::encode(&record(RecordBody::BadPack { pack: PackId([1; 32]), reason })).unwrap();
    let at = bytes.windows(8).position(|word| word == b"bad-pack").unwrap();
    let mut unknown = bytes.clone();
    unknown[at] = b'x';
    let decoded = record::decode(&unknown).unwrap();
    assert_eq!(decoded, record(RecordBody::Unknown { kind: "xad-pack".into() }));
    assert!(record::encode(&decoded).is_err());
}

#[test]
fn contradictions_are_refused() {
    let check = |edit: fn(&mut Snapshot)| {
        let mut snapshot = snapshot();
        edit(&mut snapshot);
        assert!(snapshot::encode(&snapshot).is_err());
    };
    check(|it| it.sources[0].root = None);
    check(|it| it.sources[1].root = it.sources[0].root);
    check(|it| it.sources[1].name = it.sources[0].name.clone());
    check(|it| it.host = "x".repeat(65537));
    assert!(generation::encode_close(&Close { full: true, ..close() }).is_err());
    let check = |edit: fn(&mut RingBody)| {
        let mut ring = ring();
        edit(&mut ring);
        assert!(ring::decode(&ring::encode(&ring).unwrap()).is_err());
    };
    check(|it| it.epoch = 1);
    check(|it| it.epochs.clear());
    check(|it| it.epochs.push(it.epochs[0].clone()));
    check(|it| it.recipients.clear());
    check(|it| it.recipients.push(it.recipients[0].clone()));
    check(|it| drop(it.epochs[0].keys.remove(&Purpose::Index)));
    let odd = Profile { name: "odd".into(), min: 3, avg: 8, max: 32, delta: true };
    assert!(config::encode(&ConfigBody { profiles: vec![odd], ..config() }).is_err());
}

#[test]
fn a_config_object_comes_apart_and_harm_to_its_head_is_named() {
    let head = ConfigHead {
        repository: RepositoryId([1; 16]),
        ring_len: 5,
        features: Features { read: 1, write: 2, prune: 3 },
    };
    let object = [&config::encode_head(&head)[..], b"ring0body"].concat();
    let parts = config::split_object(&object).unwrap();
    assert_eq!((parts.head, parts.ring, parts.sealed_body), (head, &b"ring0"[..], &b"body"[..]));
    assert!(config::split_object(&object[..66]).is_err());
    for at in [0, 7, 10, 11, 56, 63] {
        let mut harmed = object.clone();
        harmed[at] ^= 1;
        assert!(config::split_object(&harmed).is_err(), "byte {at}");
    }
    let mut newer = object.clone();
    newer[8] = 2;
    let error = config::split_object(&newer).unwrap_err();
    assert_eq!(error, FormatError::Version { what: "the repository", found: 2, known: 1 });
}
