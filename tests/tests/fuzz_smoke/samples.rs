//! Valid encodings for each decoder.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_engine::crypto::slot::{Credential, KdfStrength, key_file_text, seal_slot};
use coffer_engine::crypto::{Header, ring, signing_public, slot};
use coffer_engine::format::node::{self, Child, PageBuilder, Run};
use coffer_engine::format::{self, config, generation};
use coffer_engine::frame;
use coffer_engine::model::*;

const RING: HashedNumber = HashedNumber { number: 3, hash: ObjectHash([3; 32]) };
const AUTHOR: HostId = HostId([5; 16]);
const REPOSITORY: RepositoryId = RepositoryId([2; 16]);

/// The samples of the decoder called `name`.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "config_head" => vec![config_object()],
        "config_body" => vec![config_body()],
        "slot_header" => vec![sealed_slot()],
        "slot_body" => vec![slot_body()],
        "key_file" => vec![key_file_text(&secret(1)).as_bytes().to_vec()],
        "ring_head" => vec![sealed_ring()],
        "ring_body" => vec![ring_body()],
        "ring_secrets" => vec![ring_secrets()],
        "object_header" => vec![header().encode().to_vec()],
        "snapshot" => vec![snapshot()],
        "forget" => vec![forget()],
        "record" => vec![bad_pack(), verified()],
        "generation" => vec![generation_body()],
        "close" => vec![close()],
        "fate" => vec![fate()],
        "footer" => vec![format::footer::encode(&footer()).unwrap()],
        "segment" => vec![segment()],
        "page" => vec![page()],
        "table" => vec![table()],
        "id_list" => vec![id_list()],
        "xattrs" => vec![node::encode_xattrs(&xattrs()).unwrap()],
        "path" => vec![b"srv/app/data/file.db".to_vec(), b"\xff/..x".to_vec()],
        "frame" => frames(),
        _ => Vec::new(),
    }
}

/// Whether the decoder takes the sample.
pub fn decodes(name: &str, bytes: &[u8]) -> bool {
    match name {
        "config_head" => config::split_object(bytes).is_ok(),
        "config_body" => config::decode(bytes).is_ok(),
        "slot_header" => slot::SlotHeader::decode(bytes).is_ok(),
        "slot_body" => format::slot::decode(bytes).is_ok(),
        "key_file" => slot::parse_key_file(bytes).is_ok(),
        "ring_head" => ring::decode_ring_head(bytes).is_ok(),
        "ring_body" => format::ring::decode(bytes).is_ok(),
        "ring_secrets" => format::ring::decode_secrets(bytes).is_ok(),
        "object_header" => Header::decode(bytes, ObjectKind::Snapshot).is_ok(),
        "snapshot" => format::snapshot::decode(bytes).is_ok(),
        "forget" => format::forget::decode(bytes).is_ok(),
        "record" => format::record::decode(bytes).is_ok(),
        "generation" => generation::decode(bytes).is_ok(),
        "close" => generation::decode_close(bytes).is_ok(),
        "fate" => generation::decode_fate(bytes).is_ok(),
        "footer" => format::footer::decode(bytes).is_ok(),
        "segment" => format::segment::decode(bytes).is_ok(),
        "page" => node::decode_page(bytes).is_ok(),
        "table" => node::decode_table(bytes).is_ok(),
        "id_list" => node::decode_id_list(bytes).is_ok(),
        "xattrs" => node::decode_xattrs(bytes).is_ok(),
        "path" => EntryPath::new(bytes).is_ok(),
        "frame" => expands(bytes),
        _ => false,
    }
}

fn hash(byte: u8) -> ObjectHash {
    ObjectHash([byte; 32])
}

fn secret(byte: u8) -> Secret32 {
    Secret32::new([byte; 32])
}

fn reference(byte: u8, height: u8) -> NodeRef {
    NodeRef { id: ChunkId([byte; 32]), class: Class::Ordinary, height }
}

fn node_path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn config_object() -> Vec<u8> {
    let features = Features { read: 0, write: 1, prune: u64::MAX };
    let head = ConfigHead { repository: REPOSITORY, ring_len: 100, features };
    [&config::encode_head(&head)[..], &[7; 300]].concat()
}

fn config_body() -> Vec<u8> {
    let profiles = coffer_engine::chunk::standard_profiles();
    let body = ConfigBody {
        repository: REPOSITORY,
        created_ns: 1,
        chunker: 1,
        chunker_secret: secret(7),
        profiles,
        zstd_level: -7,
        frame_len: 1 << 20,
        pack_len: 32 << 20,
    };
    config::encode(&body).unwrap().to_vec()
}

fn sealed_slot() -> Vec<u8> {
    let entropy = Entropy::fixed(b"slot");
    let names = (REPOSITORY, SlotId([6; 16]));
    seal_slot(&entropy, names, &Credential::KeyFile(secret(1)), KdfStrength::Default, b"").unwrap()
}

fn slot_body() -> Vec<u8> {
    let body = SlotBody {
        x25519: secret(1),
        ring: 4,
        ring_public: [2; 32],
        label: "ключ".into(),
        created_ns: 1,
    };
    format::slot::encode(&body).unwrap().to_vec()
}

fn sealed_ring() -> Vec<u8> {
    let public = ring::slot_public(&secret(9)).unwrap();
    let recipient =
        |byte| ring::RingRecipient { slot: SlotId([byte; 16]), public, secrets: byte == 1 };
    let plan = ring::RingPlan {
        repository: REPOSITORY,
        number: 1,
        previous: hash(1),
        recipients: &[recipient(1), recipient(2)],
        part0: b"ordinary",
        part1: b"secrets",
        signer: &secret(4),
    };
    ring::seal_ring(&Entropy::fixed(b"ring"), &plan).unwrap()
}

fn epoch(number: u32, purposes: &[Purpose]) -> Epoch {
    let keys = purposes.iter().map(|purpose| (*purpose, secret(purpose.code()))).collect();
    Epoch { number, keys }
}

fn ring_body() -> Vec<u8> {
    let all = [Purpose::Data, Purpose::Metadata, Purpose::Index, Purpose::Control];
    let recipient = Recipient {
        slot: SlotId([6; 16]),
        public: [8; 32],
        label: "laptop".into(),
        kind: SlotKind::KeyFile,
        created_ns: 3,
        secrets: true,
    };
    let body = RingBody {
        number: 4,
        created_ns: 7,
        epoch: 1,
        epochs: vec![epoch(0, &all), epoch(1, &all)],
        data_id_key: secret(2),
        metadata_id_key: secret(3),
        recipients: vec![recipient],
        authors: vec![EnrolledAuthor { host: AUTHOR, name: "host".into(), public: [1; 32] }],
        signing_public: signing_public(&secret(5)),
        signing_secret: secret(5),
        config: Some(SecretBytes::new(b"config".to_vec())),
    };
    format::ring::encode(&body).unwrap().to_vec()
}

fn ring_secrets() -> Vec<u8> {
    let body = RingSecrets {
        number: 4,
        epochs: vec![epoch(0, &[Purpose::Data, Purpose::Metadata])],
        data_id_key: secret(2),
        metadata_id_key: secret(3),
    };
    format::ring::encode_secrets(&body).unwrap().to_vec()
}

fn snapshot() -> Vec<u8> {
    let source = Source {
        kind: "tree".into(),
        name: "files".into(),
        roots: vec![b"/srv/\xff".to_vec()],
        status: SourceStatus::Complete,
        message: None,
        errors: 2,
        root: Some(reference(3, 1)),
        entries: 10,
        bytes: 11,
        profile: "tree".into(),
        parent: Some(ParentRef { sid: SnapshotId([1; 16]), hash: hash(8) }),
        facts: BTreeMap::from([("a".into(), "b".into())]),
        s_data_ids: Some(reference(1, 1)),
        s_node_ids: Some(reference(2, 2)),
    };
    let snapshot = Snapshot {
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
        sources: vec![source],
        pending: vec![reference(9, 0)],
    };
    format::snapshot::encode(&snapshot).unwrap()
}

fn forget() -> Vec<u8> {
    let forget = Forget {
        sid: SnapshotId([1; 16]),
        k: 2,
        undo: true,
        objects: vec![ForgottenObject { generation: 3, hash: hash(4) }],
        author: AUTHOR,
        created_ns: 9,
        ring: RING,
    };
    format::forget::encode(&forget).unwrap()
}

fn record(body: RecordBody) -> Vec<u8> {
    let record = Record {
        created_ns: 1,
        author: AUTHOR,
        ring: RING,
        roots: vec![reference(2, 0)],
        manifests: vec![reference(1, 1)],
        body,
    };
    format::record::encode(&record).unwrap()
}

fn bad_pack() -> Vec<u8> {
    record(RecordBody::BadPack { pack: PackId([1; 32]), reason: "seal broken".into() })
}

fn verified() -> Vec<u8> {
    record(RecordBody::Verified { packs: vec![PackId([1; 32]), PackId([2; 32])], finished_ns: 5 })
}

fn generation_body() -> Vec<u8> {
    let body = Generation {
        number: 2,
        previous: hash(1),
        condemned: vec![PackId([1; 32]), PackId([2; 32])],
        features: Features { read: 0, write: 1, prune: u64::MAX },
        author: AUTHOR,
        created_ns: 1,
        ring: RING,
    };
    generation::encode(&body).unwrap()
}

fn close() -> Vec<u8> {
    let valid =
        |number| SnapshotRef { generation: number, sid: SnapshotId([1; 16]), hash: hash(2) };
    let close = Close {
        number: 2,
        generation: hash(1),
        full: false,
        previous: hash(3),
        valid_add: vec![valid(256), valid(1)],
        valid_drop: vec![valid(9)],
        deleted_add: vec![PackId([7; 32])],
        deleted_drop: Vec::new(),
        forgets: vec![(SnapshotId([1; 16]), 2)],
        author: AUTHOR,
        created_ns: 1,
        ring: RING,
    };
    generation::encode_close(&close).unwrap()
}

fn fate() -> Vec<u8> {
    let fate = Fate {
        number: 2,
        close: hash(1),
        fate: FateKind::Undo,
        author: AUTHOR,
        created_ns: 1,
        ring: RING,
    };
    generation::encode_fate(&fate).unwrap()
}

fn header() -> Header {
    let random = Entropy::fixed(b"header").bytes();
    Header { kind: ObjectKind::Snapshot, epoch: 3, salt: random }
}

fn footer() -> Footer {
    let chunk = |byte, len| Chunk { id: ChunkId([byte; 32]), len };
    let full = Frame {
        sealed_len: 341,
        plain_len: 1000,
        chunk_count: 2,
        base_count: 0,
        kind: FrameKind::Full,
        codec: Codec::Zstd,
        level: -3,
    };
    let delta = Frame { chunk_count: 1, base_count: 1, kind: FrameKind::Delta, ..full };
    Footer {
        class: Class::Ordinary,
        purpose: Purpose::Data,
        frames: vec![full, delta],
        chunks: vec![chunk(1, 400), chunk(2, 600), chunk(3, 1000)],
        bases: vec![Base { id: ChunkId([9; 32]), chunk: 0, offset: 5, len: 900 }],
    }
}

fn segment() -> Vec<u8> {
    let frames_end = format::footer::frames_end(&footer());
    let pack = |byte| PackInfo {
        id: PackId([byte; 32]),
        pack_len: 4096,
        footer_sealed_len: 4096 - 8 - u32::try_from(frames_end).unwrap(),
        epoch: 3,
        salt: [byte; 32],
        footer: footer(),
    };
    format::segment::encode(&[pack(1), pack(2)]).unwrap()
}

fn xattrs() -> Vec<Xattr> {
    let one = |name: &[u8], value: &[u8]| Xattr { name: name.to_vec(), value: value.to_vec() };
    vec![one(b"security.capability", b"\x01\0\0\x02"), one(b"user.a", b"")]
}

fn page() -> Vec<u8> {
    let owner = Owner { uid: 1000, gid: 100, user: b"ann".to_vec(), group: b"users".to_vec() };
    let entry = |path: &str, kind: EntryKind| Entry {
        path: node_path(path),
        kind,
        mode: 0o755,
        owner: Arc::new(owner.clone()),
        mtime: Time { secs: 1_700_000_000, nanos: 5 },
        ctime: Time { secs: 1_700_000_001, nanos: 6 },
        inode: 77,
        racy: false,
        database: false,
        link_group: 0,
        xattrs: Xattrs::default(),
    };
    let chunks = Content::Chunks(vec![reference(1, 0), reference(2, 0), reference(1, 0)]);
    let holes = vec![Hole { offset: 0, len: 10 }, Hole { offset: 20, len: 80 }];
    let stored = Xattrs::Stored { len: 5000, chunks: vec![reference(4, 0)] };
    let list = Content::List(reference(3, 2));
    let big = EntryKind::File { size: 1 << 40, content: list, holes: Vec::new() };
    let sparse = EntryKind::File { size: 100, content: chunks, holes };
    let target = b"../else where".to_vec();
    let mut page = PageBuilder::default();
    for entry in [
        Entry { xattrs: stored, ..entry("a", EntryKind::Directory) },
        Entry { link_group: 9, racy: true, ..entry("a/b", sparse) },
        Entry { xattrs: Xattrs::Inline(xattrs()), ..entry("a/big", big) },
        entry("a-link", EntryKind::Symlink { target }),
        entry("fifo", EntryKind::Fifo),
        entry("socket", EntryKind::Socket),
        entry("x", EntryKind::CharDevice { major: 1, minor: 3 }),
        entry("y", EntryKind::BlockDevice { major: 8, minor: u32::MAX }),
    ] {
        page.push(&entry).unwrap();
    }
    page.finish().unwrap()
}

fn table() -> Vec<u8> {
    let child =
        |byte, first: &str| Child { node: reference(byte, 0), first: node_path(first), entries: 7 };
    node::encode_table(1, &[child(1, "a"), child(2, "a/b"), child(3, "srv/x")]).unwrap()
}

fn id_list() -> Vec<u8> {
    let run = |byte, repeat| Run { node: reference(byte, 0), repeat, len: 65_536 };
    node::encode_id_list(1, &[run(1, 1), run(2, 1 << 30), run(1, 3)]).unwrap()
}

const FRAME_PREFIX: &[u8] = b"a prefix of old bytes, old bytes";

fn frames() -> Vec<Vec<u8>> {
    let plain: Vec<u8> = (0..5000_u32).flat_map(|n| (n / 7 % 256).to_le_bytes()).collect();
    let last = u16::try_from(plain.len() - 1).unwrap().to_le_bytes();
    let full = frame::compress(plain.clone(), 3).unwrap();
    assert_eq!(full.codec, Codec::Zstd);
    let delta = frame::compress_delta(&plain, FRAME_PREFIX, 3).unwrap();
    let input = |choice: u8, payload: &[u8]| [&[choice], &last[..], payload].concat();
    vec![input(1, &full.payload), input(3, &delta.payload), input(0, &plain)]
}

fn expands(input: &[u8]) -> bool {
    let [choice, low, high, payload @ ..] = input else { return false };
    let codec = if choice & 1 == 0 { Codec::Raw } else { Codec::Zstd };
    let prefix = (choice & 2 != 0).then_some(FRAME_PREFIX);
    let plain_len = u32::from(u16::from_le_bytes([*low, *high])) + 1;
    frame::expand(codec, payload.to_vec(), plain_len, prefix).is_ok()
}
