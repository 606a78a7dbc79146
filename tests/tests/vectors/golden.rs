//! The golden repository: every kind of object, made with fixed keys, randomness and times.

use coffer_engine::crypto::{Author, Credential, KdfStrength, Keyring, Place, object_hash};
use coffer_engine::format;
use coffer_engine::model::{
    Clock, Entropy, FateKind, HashedNumber, ObjectHash, ObjectKind, PackId, PackInfo, RecordBody,
    Secret32, SnapshotId, SnapshotRef,
};
use coffer_engine::repo::keys::{self, NewCredential, NewRepository, Unlocked};
use coffer_engine::store::{MemoryStore, Store};
use serde_json::Value;

use super::content::Plain;
use super::nodes::Nodes;
use super::{bodies, describe, packs};

/// The text of the key file, without its line feed.
pub const KEY_FILE: &str = "6b65792066696c65206f662074686520636f6666657220766563746f727320c0";
pub const PASSWORD: &str = "correct horse battery staple";
/// Host id and secret of the author.
pub const AUTHOR: [u8; 48] = *b"golden host id..the secret of the golden author.";
/// The run of the snapshot, of the checkpoint, and a forgotten one.
pub const SID: SnapshotId = SnapshotId(*b"golden snapshot.");
pub const CHECKPOINT: SnapshotId = SnapshotId(*b"golden checkpnt.");
pub const FORGOTTEN: SnapshotId = SnapshotId(*b"golden forgotten");

/// 2023-11-14T22:13:20 UTC.
pub fn clock() -> Clock {
    Clock::fixed(1_700_000_000_000_000_000)
}

/// The randomness of one object or act.
pub fn entropy(what: &str) -> Entropy {
    Entropy::fixed(format!("coffer vectors: {what}").as_bytes())
}

pub fn key_file() -> Credential {
    Credential::KeyFile(Secret32::new(coffer_engine::model::parse_hex(KEY_FILE).unwrap()))
}

/// A vector: an object of the store, or a node.
pub struct Object {
    /// The file below `vectors`.
    pub file: String,
    /// Name in the store; of a node its id.
    pub name: String,
    pub bytes: Vec<u8>,
    pub decoded: Value,
}

/// The golden repository.
pub struct Golden {
    pub unlocked: Unlocked,
    pub objects: Vec<Object>,
    pub plain: Plain,
    pub nodes: Nodes,
    /// The packs as the index segment tells them: data, metadata, both of class S.
    pub packs: Vec<PackInfo>,
}

impl Golden {
    pub fn make() -> Self {
        let store = MemoryStore::new();
        let unlocked = make_keys(&store);
        let plain = Plain::make();
        let nodes = Nodes::make(&unlocked.keyring, &plain);
        let mut golden = Self { unlocked, objects: Vec::new(), plain, nodes, packs: Vec::new() };
        golden.add_keys(&store);
        for node in golden.nodes.all().into_iter().chain([&golden.nodes.secret_page]) {
            golden.objects.push(Object {
                file: node.file.to_owned(),
                name: node.node.id.to_string(),
                bytes: node.bytes.clone(),
                decoded: describe::node(&node.bytes),
            });
        }
        packs::add(&mut golden);
        golden.add_control();
        golden
    }

    pub fn keyring(&self) -> &Keyring {
        &self.unlocked.keyring
    }

    pub fn object(&self, file: &str) -> &Object {
        self.objects.iter().find(|object| object.file == file).unwrap()
    }

    pub fn add(&mut self, file: &str, name: String, bytes: Vec<u8>, decoded: Value) {
        self.objects.push(Object { file: file.to_owned(), name, bytes, decoded });
    }

    fn add_keys(&mut self, store: &MemoryStore) {
        let get = |name: &str| store.get(name, 1 << 22).unwrap();
        let config = get("config");
        let decoded = describe::config(self.keyring(), &config, &self.unlocked);
        self.add("config.bin", "config".into(), config, decoded);
        let recipients: Vec<_> = self.unlocked.ring.recipients.iter().map(|it| it.slot).collect();
        let files = ["slot-key-file.bin", "slot-password.bin"];
        let credentials = [key_file(), Credential::password(PASSWORD)];
        for ((slot, file), credential) in recipients.iter().zip(files).zip(credentials) {
            let name = format!("keys/{slot}");
            let bytes = get(&name);
            let decoded = describe::slot(self.keyring().repository(), slot, &credential, &bytes);
            self.add(file, name, bytes, decoded);
        }
        for number in 0..=2 {
            let name = format!("rings/{number}");
            let bytes = if number == 0 {
                let config = &self.object("config.bin").bytes;
                format::config::split_object(config).unwrap().ring.to_vec()
            } else {
                get(&name)
            };
            let home = (self.keyring().repository(), number);
            let decoded = describe::ring(home, &recipients[0], &self.slot_secret(), &bytes);
            self.add(&format!("ring-{number}.bin"), name, bytes, decoded);
        }
    }

    /// The X25519 secret of the key file's slot.
    pub fn slot_secret(&self) -> Secret32 {
        let slot = self.object("slot-key-file.bin");
        let home = (self.keyring().repository(), slot.name[5..].parse().unwrap());
        let body = coffer_engine::crypto::slot::open_slot(&slot.bytes, home, &key_file()).unwrap();
        format::slot::decode(&body).unwrap().x25519
    }

    fn add_control(&mut self) {
        let checkpoint = bodies::checkpoint(self);
        let place = Place::snapshot(0, &CHECKPOINT);
        let cbor = format::snapshot::encode(&checkpoint).unwrap();
        let hash = self.add_signed("checkpoint.bin", ObjectKind::Snapshot, place, &cbor);
        let checkpoint = SnapshotRef { generation: 0, sid: CHECKPOINT, hash };

        let cbor = format::forget::encode(&bodies::forget(self)).unwrap();
        self.add_signed("forget.bin", ObjectKind::Forget, Place::forget(&FORGOTTEN, 0), &cbor);

        let one = Place::number(1);
        let cbor = format::generation::encode(&bodies::generation(self)).unwrap();
        let generation = self.add_signed("generation.bin", ObjectKind::Generation, one, &cbor);
        let close = bodies::close(self, generation, checkpoint);
        let cbor = format::generation::encode_close(&close).unwrap();
        let close = self.add_signed("close.bin", ObjectKind::Close, one, &cbor);
        let fate = bodies::fate(self, close, FateKind::Delete);
        let cbor = format::generation::encode_fate(&fate).unwrap();
        self.add_signed("fate.bin", ObjectKind::Fate, one, &cbor);

        let head = HashedNumber { number: 1, hash: generation };
        let snapshot = bodies::snapshot(self, head, checkpoint);
        let cbor = format::snapshot::encode(&snapshot).unwrap();
        let place = Place::snapshot(1, &SID);
        self.add_signed("snapshot.bin", ObjectKind::Snapshot, place, &cbor);

        let reason = "frame 0 at byte 40: seal broken".to_owned();
        let bad = RecordBody::BadPack { pack: deleted_pack(), reason };
        let packs = self.packs.iter().map(|pack| pack.id).collect();
        let verified = RecordBody::Verified { packs, finished_ns: clock().now_ns() + 1 };
        for (file, body) in [("record-bad-pack.bin", bad), ("record-verified.bin", verified)] {
            let place = Place::word(body.kind()).unwrap();
            let cbor = format::record::encode(&bodies::record(self, body)).unwrap();
            self.add_signed(file, ObjectKind::Record, place, &cbor);
        }
    }

    /// Signs and seals a body under the randomness named like its file.
    fn add_signed(
        &mut self,
        file: &str,
        kind: ObjectKind,
        place: Place,
        cbor: &[u8],
    ) -> ObjectHash {
        let author = Author::from_bytes(&AUTHOR);
        let random = entropy(file);
        let bytes = self.keyring().seal_signed(&random, &author, kind, &place, cbor).unwrap();
        let hash = ObjectHash(object_hash(&bytes));
        let name = match file {
            "checkpoint.bin" => format!("snapshots/0/{CHECKPOINT}-{hash}"),
            "snapshot.bin" => format!("snapshots/1/{SID}-{hash}"),
            "forget.bin" => format!("forgets/{FORGOTTEN}.0"),
            "generation.bin" => "gen/1".to_owned(),
            "close.bin" => "gen/1.close".to_owned(),
            "fate.bin" => "gen/1.fate".to_owned(),
            "record-bad-pack.bin" => format!("records/bad-pack/{hash}"),
            _ => format!("records/verified/{hash}"),
        };
        self.add(file, name, bytes, describe::cbor(cbor));
        hash
    }
}

/// A pack that generation 1 deleted: nothing of it is left but its name.
pub fn deleted_pack() -> PackId {
    PackId(object_hash(b"coffer vectors: deleted pack"))
}

/// Ring 0 with a key file, ring 1 with a password added, ring 2 with a second epoch.
fn make_keys(store: &MemoryStore) -> Unlocked {
    let random = entropy("repository");
    let now_ns = clock().now_ns();
    let config = keys::default_config(&random, now_ns);
    let author = Author::from_bytes(&AUTHOR);
    let plan = NewRepository {
        credential: &key_file(),
        strength: KdfStrength::Default,
        label: "key file",
        config: &config,
        author: (&author, "golden"),
        now_ns,
    };
    let first = keys::create(store, &random, &plan).unwrap();
    let new = NewCredential {
        credential: &Credential::password(PASSWORD),
        strength: KdfStrength::Default,
        label: "password",
        secrets: false,
    };
    let second = keys::add(store, &entropy("ring 1"), now_ns, &first, &new).unwrap();
    keys::rotate(store, &entropy("ring 2"), now_ns, &second).unwrap()
}
