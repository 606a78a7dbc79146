//! The worked example, `9-example.md`: computed step by step from the stored vectors with nothing of
//! the engine but its decoders. Lines of the page that say `name = hex` must tell these values.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use coffer_engine::format;
use coffer_engine::frame;
use coffer_engine::model::{Codec, FrameKind, PackInfo, Purpose, RingBody};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable};

use super::golden::{Golden, KEY_FILE, SID};
use super::{check_file, folder, hex};

const PAGE: &str = "9-example.md";

/// The values by the name they have on the page.
struct Example<'a> {
    golden: &'a Golden,
    repository: Vec<u8>,
    values: BTreeMap<String, Vec<u8>>,
}

/// The fields of the associated data that differ from object to object.
struct Aad<'a> {
    kind: u8,
    purpose: u8,
    /// Frame kind and codec.
    frame: [u8; 2],
    epoch: u32,
    place: &'a [u8],
    length: usize,
}

fn kdf(context: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().as_bytes().to_vec()
}

/// Opens `nonce ‖ ciphertext ‖ tag`.
fn open(key: &[u8], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    let (nonce, msg) = sealed.split_at(24);
    let cipher = XChaCha20Poly1305::new_from_slice(key).unwrap();
    let nonce = nonce.try_into().unwrap();
    cipher.decrypt(&nonce, Payload { msg, aad }).unwrap()
}

/// The body of `u64 n ‖ body ‖ zeros`.
fn body(plain: &[u8]) -> Vec<u8> {
    let (len, rest) = plain.split_first_chunk::<8>().unwrap();
    rest[..usize::try_from(u64::from_le_bytes(*len)).unwrap()].to_vec()
}

impl Example<'_> {
    fn set(&mut self, name: &str, value: &[u8]) -> Vec<u8> {
        let before = self.values.insert(name.to_owned(), value.to_vec());
        assert!(before.is_none(), "{name} stands twice");
        value.to_vec()
    }

    fn stored(&self, file: &str) -> Vec<u8> {
        self.golden.object(file).bytes.clone()
    }

    fn aad(&self, aad: &Aad<'_>) -> Vec<u8> {
        let mut bytes = vec![1, 1, aad.kind, 0, aad.purpose, aad.frame[0], aad.frame[1], 0];
        bytes.extend(aad.epoch.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.repository);
        bytes.extend(aad.place);
        bytes.resize(56, 0);
        bytes.extend((aad.length as u64).to_le_bytes());
        bytes
    }

    /// From the key file to the secret key of its slot.
    fn slot(&mut self) -> Vec<u8> {
        let slot = self.stored("slot-key-file.bin");
        let secret: [u8; 32] = coffer_engine::model::parse_hex(KEY_FILE).unwrap();
        self.set("key_file", &secret);
        self.set("slot_bound", &slot[..80]);
        let kek = kdf("coffer v1 key file", &[&secret, &slot[48..80]]);
        self.set("kek", &kek);
        let commitment = kdf("coffer v1 slot commitment", &[&kek, &slot[..80]]);
        assert_eq!(self.set("commitment", &commitment), slot[80..112]);
        let key = kdf("coffer v1 slot key", &[&kek, &slot[..80]]);
        self.set("slot_key", &key);
        let (place, length) = (&slot[16..32], slot.len());
        let aad = self.aad(&Aad { kind: 2, purpose: 4, frame: [0; 2], epoch: 0, place, length });
        self.set("slot_aad", &aad);
        self.set("slot_nonce", &slot[112..136]);
        let body = body(&open(&key, &[&aad, &slot[..112]].concat(), &slot[112..]));
        let decoded = format::slot::decode(&body).unwrap();
        self.set("slot_body", &body);
        self.set("slot_ring_public", &decoded.ring_public);
        self.set("x25519_secret", decoded.x25519.as_bytes())
    }

    /// From the secret key of the slot to a ring's part 0.
    fn ring(&mut self, number: u32, secret: &[u8]) -> RingBody {
        let ring = self.stored(&format!("ring-{number}.bin"));
        let count = usize::from(u16::from_le_bytes([ring[2], ring[3]]));
        let slot = &ring[56..72];
        let (enc, sealed_key) = (&ring[72..104], &ring[104..152]);
        let info = [b"coffer v1 ring", &self.repository[..], &number.to_le_bytes(), &[0]].concat();
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret).unwrap();
        let part_key = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &Deserializable::from_bytes(enc).unwrap(),
            &info,
            sealed_key,
            slot,
        )
        .unwrap();
        let table_end = 56 + 176 * count;
        let part_len = u32::from_le_bytes(ring[table_end..table_end + 4].try_into().unwrap());
        let part = &ring[table_end + 8..table_end + 8 + part_len as usize];
        let place = u64::from(number).to_le_bytes();
        let aad = self.aad(&Aad {
            kind: 3,
            purpose: 4,
            frame: [0; 2],
            epoch: number,
            place: &place,
            length: part.len(),
        });
        let part_0 = format::ring::decode(&body(&open(&part_key, &aad, part))).unwrap();
        self.set(&format!("ring_{number}_hash"), blake3::hash(&ring).as_bytes());
        self.set(&format!("ring_{number}_public"), &part_0.signing_public);
        if number == 2 {
            let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes();
            self.set("x25519_public", &public);
            self.set("ring_previous", &ring[24..56]);
            self.set("enc_0", enc);
            self.set("key_0", sealed_key);
            self.set("hpke_info", &info);
            self.set("hpke_aad", slot);
            self.set("part_key", &part_key);
            self.set("part_aad", &aad);
            self.set("part_nonce", &part[..24]);
        }
        part_0
    }

    fn keys(&mut self, ring: &RingBody) {
        let epoch = &ring.epochs[1].keys;
        self.set("data_key", epoch[&Purpose::Data].as_bytes());
        self.set("metadata_key", epoch[&Purpose::Metadata].as_bytes());
        self.set("index_key", epoch[&Purpose::Index].as_bytes());
        self.set("control_key", epoch[&Purpose::Control].as_bytes());
        self.set("data_id_key", ring.data_id_key.as_bytes());
        self.set("metadata_id_key", ring.metadata_id_key.as_bytes());
        self.set("config_key", ring.epochs[0].keys[&Purpose::Control].as_bytes());
    }

    /// Opens a sealed object; its values are named after `name`.
    fn object(
        &mut self,
        name: &str,
        bytes: &[u8],
        key: &[u8],
        aad: &Aad<'_>,
        more: &[u8],
    ) -> Vec<u8> {
        self.set(&format!("{name}_header"), &bytes[..40]);
        let key = kdf("coffer v1 object key", &[key, &bytes[8..40]]);
        self.set(&format!("{name}_object_key"), &key);
        let aad = self.aad(&Aad { length: bytes.len(), ..*aad });
        self.set(&format!("{name}_aad"), &aad);
        self.set(&format!("{name}_nonce"), &bytes[40..64]);
        body(&open(&key, &[&aad, more].concat(), &bytes[40..]))
    }

    fn value(&self, name: &str) -> Vec<u8> {
        self.values[name].clone()
    }

    fn objects(&mut self) -> Vec<PackInfo> {
        let config = self.stored("config.bin");
        let parts = format::config::split_object(&config).unwrap();
        self.set("config_head", parts.head_bytes);
        let key = self.value("config_key");
        let control = Aad { kind: 1, purpose: 4, frame: [0; 2], epoch: 0, place: &[], length: 0 };
        let body = self.object("config", parts.sealed_body, &key, &control, parts.head_bytes);
        let config = format::config::decode(&body).unwrap();
        self.set("chunker_secret", config.chunker_secret.as_bytes());

        let snapshot = self.stored("snapshot.bin");
        self.set("snapshot_hash", blake3::hash(&snapshot).as_bytes());
        let place = [&1_u64.to_le_bytes()[..], SID.as_bytes()].concat();
        let aad = Aad { kind: 7, epoch: 1, place: &place, ..control };
        let body = self.object("snapshot", &snapshot, &self.value("control_key"), &aad, &[]);
        self.set("snapshot_signature", &body[..64]);
        self.set("snapshot_cbor_hash", blake3::hash(&body[64..]).as_bytes());
        let decoded = format::snapshot::decode(&body[64..]).unwrap();
        self.set("root_id", decoded.sources[1].root.unwrap().id.as_bytes());

        let segment = self.stored("index-segment.bin");
        self.set("segment_hash", blake3::hash(&segment).as_bytes());
        let aad = Aad { kind: 6, purpose: 3, place: &[], ..aad };
        let body = self.object("segment", &segment, &self.value("index_key"), &aad, &[]);
        format::segment::decode(&body).unwrap()
    }

    /// Opens frame `number` of a pack: its payload, expanded by the caller.
    fn frame(&mut self, name: &str, pack: (&str, &PackInfo), key: &str, number: usize) -> Vec<u8> {
        let (file, info) = pack;
        let bytes = self.stored(file);
        let before = info.footer.frames[..number].iter().map(|frame| frame.sealed_len as usize);
        let position = 40 + before.sum::<usize>();
        let frame = info.footer.frames[number];
        let sealed = &bytes[position..position + frame.sealed_len as usize];
        let object_key = kdf("coffer v1 object key", &[&self.value(key), &bytes[8..40]]);
        let place = (position as u64).to_le_bytes();
        let aad = self.aad(&Aad {
            kind: 4,
            purpose: info.footer.purpose.code(),
            frame: [frame.kind.code(), frame.codec.code()],
            epoch: info.epoch,
            place: &place,
            length: frame.plain_len as usize,
        });
        self.set(&format!("{name}_header"), &bytes[..40]);
        self.set(&format!("{name}_object_key"), &object_key);
        self.set(&format!("{name}_aad"), &aad);
        self.set(&format!("{name}_nonce"), &sealed[..24]);
        let payload = open(&object_key, &aad, sealed);
        self.set(&format!("{name}_payload"), &payload)
    }

    /// From the packs to the page, and from the page to the bytes of the file.
    fn content(&mut self, packs: &[PackInfo]) {
        let [data, metadata, ..] = packs else { panic!("two packs and more") };
        self.set("metadata_pack", &metadata.id.0);
        self.set("data_pack", &data.id.0);
        let payload = self.frame("nodes", ("pack-metadata.bin", metadata), "metadata_key", 0);
        let nodes = expand(payload, metadata, 0, None);
        let page = self.stored("page-stream.node");
        assert!(nodes.ends_with(&page));
        let key = self.value("metadata_id_key").try_into().unwrap();
        let id = blake3::keyed_hash(&key, &page);
        assert_eq!(self.set("page_id", id.as_bytes()), self.value("root_id"));
        self.page(&page);

        let payload = self.frame("text", ("pack-data.bin", data), "data_key", 1);
        let text = expand(payload, data, 1, None)[..830].to_vec();
        let payload = self.frame("edited", ("pack-data.bin", data), "data_key", 2);
        assert_eq!(data.footer.frames[2].kind, FrameKind::Delta);
        let edited = expand(payload, data, 2, Some(&text));
        let key = self.value("data_id_key").try_into().unwrap();
        for (name, field, chunk) in
            [("text_id", "page_id_0", &text), ("edited_id", "page_id_1", &edited)]
        {
            let id = blake3::keyed_hash(&key, chunk);
            assert_eq!(self.set(name, id.as_bytes()), self.value(field));
        }
        self.set("text_start", &text[..40]);
        self.set("edited_start", &edited[90..130]);
        self.set("file_hash", blake3::hash(&[text, edited].concat()).as_bytes());
    }

    /// Takes the page apart; the fields are all of its bytes.
    fn page(&mut self, page: &[u8]) {
        let mut rest = page;
        let mut fields = vec![
            ("page_kind", 1),
            ("page_height", 1),
            ("page_reserved", 2),
            ("page_references", 4),
            ("page_classes", 2),
            ("page_heights", 2),
            ("page_id_0", 32),
            ("page_id_1", 32),
            ("page_entries", 4),
        ];
        for (name, len) in fields.drain(..) {
            let (field, after) = rest.split_at(len);
            self.set(name, field);
            rest = after;
        }
        for number in 1..=18 {
            let len = 4 + u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let (column, after) = rest.split_at(len);
            self.set(&format!("page_column_{number:02}"), column);
            rest = after;
        }
        assert!(rest.is_empty());
    }
}

fn expand(payload: Vec<u8>, pack: &PackInfo, number: usize, prefix: Option<&[u8]>) -> Vec<u8> {
    let frame = pack.footer.frames[number];
    assert_eq!(frame.codec, Codec::Zstd);
    frame::expand(frame.codec, payload, frame.plain_len, prefix).unwrap()
}

/// Compares the values on the page with the computed ones, or puts them there.
pub fn check(golden: &Golden) {
    let repository = golden.keyring().repository().as_bytes().to_vec();
    let mut example = Example { golden, repository: repository.clone(), values: BTreeMap::new() };
    example.set("repository", &repository);
    let secret = example.slot();
    for number in 0..2 {
        example.ring(number, &secret);
    }
    let ring = example.ring(2, &secret);
    assert_eq!(example.value("ring_previous"), example.value("ring_1_hash"));
    assert_eq!(example.value("slot_ring_public"), example.value("ring_0_public"));
    example.keys(&ring);
    let packs = example.objects();
    example.content(&packs);

    let page = std::fs::read_to_string(folder().join(PAGE)).unwrap();
    let mut values = example.values;
    let true_line = |line: &str| {
        let name = line.strip_prefix("    ").and_then(|line| line.split(" = ").next());
        let Some(name) = name.filter(|_| line.contains(" = ")) else { return line.to_owned() };
        let name = name.trim_end();
        let value = values.remove(name).unwrap_or_else(|| panic!("{name} is not known, or twice"));
        format!("    {name:<20} = {}", hex(&value))
    };
    let expected: Vec<String> = page.lines().map(true_line).collect();
    assert!(values.is_empty(), "not on the page: {:?}", values.keys());
    check_file(PAGE, (expected.join("\n") + "\n").as_bytes());
}
