//! Index segments and records: sealing, naming, opening.

use super::Repository;
use crate::crypto::{Place, SignatureState, object_hash};
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::limits;
use crate::model::{
    Entropy, HashedNumber, HostId, ObjectHash, ObjectKind, PackId, PackInfo, Record, RecordBody,
    SegmentId,
};
use crate::store::Creation;

pub(super) fn load_segment(repo: &Repository, id: SegmentId) -> Result<Vec<PackInfo>> {
    let name = format!("index/{id}");
    let load = || -> Result<Vec<PackInfo>> {
        let bytes = repo.store.get(&name, limits::SEGMENT_LEN_MAX)?;
        if object_hash(&bytes) != id.0 {
            return Err(Error::new(Kind::Corrupt, "its bytes do not hash to its name"));
        }
        let body = repo.keyring().open_object(ObjectKind::Segment, &Place::none(), &bytes)?;
        // A long segment takes much memory already, in clear and decoded.
        drop(bytes);
        Ok(format::segment::decode(&body)?)
    };
    load().map_err(|error| error.context(format!("index segment {id}")))
}

pub(super) fn save_segment(
    repo: &Repository,
    entropy: &Entropy,
    packs: &[PackInfo],
) -> Result<SegmentId> {
    let body = format::segment::encode(packs)?;
    let keyring = repo.keyring();
    let bytes = keyring.seal_object(entropy, ObjectKind::Segment, &Place::none(), &body)?;
    // What is sealed is opened again before it is stored: bad memory is found while it can be mended.
    let again = keyring.open_object(ObjectKind::Segment, &Place::none(), &bytes)?;
    if again != body {
        return Err(memory_fault("index segment"));
    }
    let id = SegmentId(object_hash(&bytes));
    put_new(repo, &format!("index/{id}"), &bytes)?;
    Ok(id)
}

/// Creates an object whose name holds its hash. A name that exists already holds these very bytes.
pub(super) fn put_new(repo: &Repository, name: &str, bytes: &[u8]) -> Result<()> {
    match repo.store.create(name, bytes)? {
        Creation::Created => Ok(()),
        Creation::Exists => {
            let len_max = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if repo.store.get(name, len_max)? == bytes {
                Ok(())
            } else {
                let what = format!("{name} exists with other bytes");
                Err(Error::new(Kind::Conflict, what))
            }
        }
    }
}

pub(super) fn memory_fault(what: &str) -> Error {
    let what = format!(
        "{what}: what was sealed does not open to what was given; memory or processor fault, \
         nothing of it was stored"
    );
    Error::new(Kind::Corrupt, what)
}

impl Repository {
    /// The ring this run works under, as signed objects carry it.
    #[must_use]
    pub fn ring(&self) -> HashedNumber {
        self.keyring().ring()
    }

    /// Writes down that `pack` failed verification, so that writers no longer rely on it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn record_bad_pack(&self, pack: PackId, reason: &str) -> Result<ObjectHash> {
        self.save_record(RecordBody::BadPack { pack, reason: reason.to_owned() })
    }

    /// Puts a record.
    ///
    /// # Errors
    /// Those of the store.
    pub fn save_record(&self, body: RecordBody) -> Result<ObjectHash> {
        self.refuse_unknown_features()?;
        let kind = body.kind().to_owned();
        let record = Record {
            created_ns: self.clock.now_ns(),
            author: self.author.host(),
            ring: self.ring(),
            roots: Vec::new(),
            manifests: Vec::new(),
            body,
        };
        let cbor = format::record::encode(&record)?;
        let place = Place::word(&kind)?;
        let bytes = self.keyring().seal_signed(
            &self.entropy,
            &self.author,
            ObjectKind::Record,
            &place,
            &cbor,
        )?;
        let hash = ObjectHash(object_hash(&bytes));
        put_new(self, &format!("records/{kind}/{hash}"), &bytes)?;
        Ok(hash)
    }

    /// Opens a signed object and refuses a signature that is not by the author its body names.
    pub(super) fn open_by_author<T>(
        &self,
        (kind, place): (ObjectKind, &Place),
        bytes: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T>,
        author: impl FnOnce(&T) -> HostId,
    ) -> Result<T> {
        let signed = self.keyring().open_signed(kind, place, bytes)?;
        let body = decode(&signed.cbor)?;
        match self.keyring().check_signature(&signed, kind, place, &author(&body)) {
            SignatureState::Bad => Err(Error::new(Kind::Corrupt, "wrong signature")),
            SignatureState::Good | SignatureState::UnknownAuthor => Ok(body),
        }
    }

    /// The kinds of records there are, ascending.
    ///
    /// # Errors
    /// Those of the store.
    pub fn record_kinds(&self) -> Result<Vec<String>> {
        let mut kinds: Vec<String> = Vec::new();
        self.store.list("records/", &mut |name, _| {
            let kind = name.strip_prefix("records/").and_then(|rest| Some(rest.split_once('/')?.0));
            if let Some(kind) = kind.filter(|kind| kinds.last().is_none_or(|last| last != kind)) {
                kinds.push(kind.to_owned());
            }
            Ok(())
        })?;
        kinds.sort_unstable();
        kinds.dedup();
        Ok(kinds)
    }

    /// Loads all records of `kind`, each with its name; of a damaged one the error.
    ///
    /// # Errors
    /// Those of the store.
    pub fn records(&self, kind: &str) -> Result<Vec<(ObjectHash, Result<Record>)>> {
        let prefix = format!("records/{kind}/");
        let mut hashes: Vec<ObjectHash> = Vec::new();
        self.store.list(&prefix, &mut |name, _| {
            hashes.extend(
                name.strip_prefix(&prefix).and_then(|hash| hash.parse::<ObjectHash>().ok()),
            );
            Ok(())
        })?;
        hashes.sort_unstable();
        let place = Place::word(kind)?;
        let load = |hash: ObjectHash| -> Result<Record> {
            let bytes = self.store.get(&format!("{prefix}{hash}"), limits::CONTROL_LEN_MAX)?;
            if object_hash(&bytes) != hash.0 {
                return Err(Error::new(Kind::Corrupt, "its bytes do not hash to its name"));
            }
            let decode = |cbor: &[u8]| Ok(format::record::decode(cbor)?);
            let author = |record: &Record| record.author;
            self.open_by_author((ObjectKind::Record, &place), &bytes, decode, author)
        };
        let mut records = Vec::with_capacity(hashes.len());
        for hash in hashes {
            match load(hash).map_err(|error| error.context(format!("{prefix}{hash}"))) {
                Err(error) if !error.kind().is_damage() => return Err(error),
                record => records.push((hash, record)),
            }
        }
        Ok(records)
    }
}
