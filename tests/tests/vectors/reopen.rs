//! Stored vectors decoded, encoded again, and read as a repository.

use std::sync::Arc;

use coffer_engine::crypto::{
    Credential, Header, Keyring, Place, SignatureState, object_hash, padded_len,
};
use coffer_engine::format::{self, node};
use coffer_engine::model::{Class, Entropy, MemoryBound, ObjectKind, Purpose};
use coffer_engine::observe::Silent;
use coffer_engine::repo::{OpenOptions, Repository};
use coffer_engine::store::{MemoryStore, Store};
use coffer_engine::{pack, verify};

use super::golden::{self, Golden, Object};

/// Decodes a stored vector and encodes it again.
pub fn check(golden: &Golden, object: &Object, bytes: &[u8]) {
    let keyring = golden.keyring();
    let file = object.file.as_str();
    match file {
        _ if file.ends_with(".node") => check_node(bytes),
        "config.bin" => check_config(golden, bytes),
        "slot-key-file.bin" => check_slot(golden, object, bytes, &golden::key_file()),
        "slot-password.bin" => {
            check_slot(golden, object, bytes, &Credential::password(golden::PASSWORD));
        }
        "ring-0.bin" | "ring-1.bin" | "ring-2.bin" => check_ring(golden, file, bytes),
        _ if file.starts_with("pack-") => check_pack(golden, object, bytes),
        "index-segment.bin" => {
            let place = Place::none();
            let body = keyring.open_object(ObjectKind::Segment, &place, bytes).unwrap();
            let packs = format::segment::decode(&body).unwrap();
            assert_eq!(packs, golden.packs);
            assert_eq!(format::segment::encode(&packs).unwrap(), body);
        }
        _ => check_signed(keyring, file, bytes),
    }
    assert!(file.ends_with(".node") || file.starts_with("ring") || is_padded(file, bytes));
}

fn is_padded(file: &str, bytes: &[u8]) -> bool {
    let len = bytes.len() as u64;
    file == "config.bin" || padded_len(len) == len
}

fn check_node(bytes: &[u8]) {
    let again = match node::references(bytes).unwrap().kind {
        node::NodeKind::Page => super::nodes::page(&node::decode_page(bytes).unwrap()),
        node::NodeKind::Table => {
            let table = node::decode_table(bytes).unwrap();
            node::encode_table(table.height, &table.children).unwrap()
        }
        node::NodeKind::IdList => {
            let list = node::decode_id_list(bytes).unwrap();
            node::encode_id_list(list.height, &list.runs).unwrap()
        }
    };
    assert_eq!(again, bytes);
}

fn check_config(golden: &Golden, bytes: &[u8]) {
    let parts = format::config::split_object(bytes).unwrap();
    assert_eq!(format::config::encode_head(&parts.head), *parts.head_bytes);
    let control = &golden.unlocked.ring.epochs[0].keys[&Purpose::Control];
    let repository = golden.keyring().repository();
    let (head, sealed) = (parts.head_bytes, parts.sealed_body);
    let body = coffer_engine::crypto::config::open_config(repository, control, head, sealed);
    let body = body.unwrap();
    let config = format::config::decode(&body).unwrap();
    assert_eq!(config, golden.unlocked.config);
    assert_eq!(*format::config::encode(&config).unwrap(), body);
}

fn check_slot(golden: &Golden, object: &Object, bytes: &[u8], credential: &Credential) {
    let home = (golden.keyring().repository(), object.name[5..].parse().unwrap());
    let body = coffer_engine::crypto::slot::open_slot(bytes, home, credential).unwrap();
    let slot = format::slot::decode(&body).unwrap();
    assert_eq!(*format::slot::encode(&slot).unwrap(), *body);
}

fn check_ring(golden: &Golden, file: &str, bytes: &[u8]) {
    let number = file[5..6].parse().unwrap();
    let slot = golden.unlocked.ring.recipients[0].slot;
    let home = (golden.keyring().repository(), number);
    let secret = golden.slot_secret();
    let opened = coffer_engine::crypto::ring::open_ring(bytes, home, &slot, &secret).unwrap();
    let body = format::ring::decode(&opened.part0).unwrap();
    assert_eq!(*format::ring::encode(&body).unwrap(), *opened.part0);
    let part1 = opened.part1.unwrap();
    let secrets = format::ring::decode_secrets(&part1).unwrap();
    assert_eq!(*format::ring::encode_secrets(&secrets).unwrap(), *part1);
}

fn check_pack(golden: &Golden, object: &Object, bytes: &[u8]) {
    let id = object.name.rsplit('/').next().unwrap().parse().unwrap();
    let read = |offset: u64, len: usize| {
        let start = usize::try_from(offset).unwrap();
        Ok(bytes[start..start + len].to_vec())
    };
    let info = pack::read_footer(golden.keyring(), id, bytes.len() as u64, &read).unwrap();
    assert!(golden.packs.contains(&info));
    assert_eq!(object_hash(bytes), info.id.0);
    let header = Header::decode(bytes, ObjectKind::Frame).unwrap();
    assert_eq!(header.encode(), bytes[..40]);
    let end = bytes.len() - 8 - usize::try_from(info.footer_sealed_len).unwrap();
    let sealed = &bytes[end..bytes.len() - 8];
    let head = bytes.first_chunk().unwrap();
    let body = golden.keyring().open_footer(head, end as u64, sealed).unwrap();
    assert_eq!(format::footer::encode(&info.footer).unwrap(), body);
    let is_secret = object.file.starts_with("pack-secret-");
    assert_eq!(info.footer.class, if is_secret { Class::S } else { Class::Ordinary });
}

fn check_signed(keyring: &Keyring, file: &str, bytes: &[u8]) {
    let (kind, place) = match file {
        "snapshot.bin" => (ObjectKind::Snapshot, Place::snapshot(1, &golden::SID)),
        "checkpoint.bin" => (ObjectKind::Snapshot, Place::snapshot(0, &golden::CHECKPOINT)),
        "forget.bin" => (ObjectKind::Forget, Place::forget(&golden::FORGOTTEN, 0)),
        "record-bad-pack.bin" => (ObjectKind::Record, Place::word("bad-pack").unwrap()),
        "record-verified.bin" => (ObjectKind::Record, Place::word("verified").unwrap()),
        "generation.bin" => (ObjectKind::Generation, Place::number(1)),
        "close.bin" => (ObjectKind::Close, Place::number(1)),
        "fate.bin" => (ObjectKind::Fate, Place::number(1)),
        _ => panic!("{file} has no check"),
    };
    let signed = keyring.open_signed(kind, &place, bytes).unwrap();
    let author = coffer_engine::crypto::Author::from_bytes(&golden::AUTHOR).host();
    let state = keyring.check_signature(&signed, kind, &place, &author);
    assert_eq!(state, SignatureState::Good, "{file}");
    let cbor = &signed.cbor;
    let again = match file {
        "snapshot.bin" | "checkpoint.bin" => {
            format::snapshot::encode(&format::snapshot::decode(cbor).unwrap())
        }
        "forget.bin" => format::forget::encode(&format::forget::decode(cbor).unwrap()),
        "generation.bin" => format::generation::encode(&format::generation::decode(cbor).unwrap()),
        "close.bin" => {
            format::generation::encode_close(&format::generation::decode_close(cbor).unwrap())
        }
        "fate.bin" => {
            format::generation::encode_fate(&format::generation::decode_fate(cbor).unwrap())
        }
        _ => format::record::encode(&format::record::decode(cbor).unwrap()),
    };
    assert_eq!(again.unwrap(), *cbor, "{file}");
}

/// Opens the stored vectors with each credential and verifies everything.
pub fn check_repository(golden: &Golden) {
    for credential in [golden::key_file(), Credential::password(golden::PASSWORD)] {
        let store = MemoryStore::new();
        for object in golden.objects.iter().filter(|it| !is_inner(&it.file)) {
            store.create(&object.name, &object.bytes).unwrap();
            let twice = ["config", "rings/1", "rings/2", "gen/1.close"];
            if twice.contains(&object.name.as_str()) {
                store.create(&format!("{}.copy", object.name), &object.bytes).unwrap();
            }
        }
        let state = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            credentials: vec![credential],
            cache_dir: None,
            state_dir: state.path().to_owned(),
            entropy: Entropy::fixed(b"reopen"),
            clock: golden::clock(),
            memory: MemoryBound::default(),
        };
        let repo = Repository::open(Arc::new(store), options, &Silent).unwrap();
        assert_eq!(repo.snapshots(false, &Silent).unwrap().len(), 1);
        assert_eq!(repo.snapshots(true, &Silent).unwrap().len(), 2);
        let report = verify::verify(&repo, &Silent).unwrap();
        let found: Vec<String> =
            report.findings.iter().map(|it| format!("{}: {}", it.object, it.problem)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// True for what stands inside another object.
fn is_inner(file: &str) -> bool {
    file.ends_with(".node") || file == "ring-0.bin"
}
