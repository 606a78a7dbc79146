//! Keys derived from keys.

use crate::model::Secret32;

/// BLAKE3 key derivation over `parts` end to end.
pub(super) fn derive(context: &str, parts: &[&[u8]]) -> Secret32 {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    Secret32::new(*hasher.finalize().as_bytes())
}

/// The key of one object, from its epoch's key and its salt.
pub(super) fn object_key(epoch_key: &Secret32, salt: &[u8; 32]) -> Secret32 {
    derive("coffer v1 object key", &[epoch_key.as_bytes(), salt])
}

/// The gear table of a repository, from its chunker secret.
pub(super) fn gear_table(chunker_secret: &Secret32) -> [u64; 256] {
    let mut hasher = blake3::Hasher::new_derive_key("coffer v1 gear table");
    hasher.update(chunker_secret.as_bytes());
    let mut stream = hasher.finalize_xof();
    let mut table = [0; 256];
    for gear in &mut table {
        let mut bytes = [0; 8];
        stream.fill(&mut bytes);
        *gear = u64::from_le_bytes(bytes);
    }
    table
}

/// The key that decides where pages end, from the chunker secret.
pub(super) fn page_cut_key(chunker_secret: &Secret32) -> [u8; 32] {
    *derive("coffer v1 page cut", &[chunker_secret.as_bytes()]).as_bytes()
}

/// BLAKE3 of stored bytes: the name of packs, segments and records, and what chains refer to.
#[must_use]
pub fn object_hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}
