//! What several bodies share on the wire.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::FormatError;
use crate::limits;
use crate::model::{
    ChunkId, Class, HashedNumber, NodeRef, ObjectHash, PackId, Secret32, SnapshotId, SnapshotRef,
};

/// `{number, hash}`.
#[derive(Serialize, Deserialize)]
pub(super) struct Hashed {
    number: u64,
    hash: ByteArray<32>,
}

impl From<HashedNumber> for Hashed {
    fn from(it: HashedNumber) -> Self {
        Self { number: it.number, hash: it.hash.0.into() }
    }
}

impl From<Hashed> for HashedNumber {
    fn from(it: Hashed) -> Self {
        Self { number: it.number, hash: ObjectHash(*it.hash) }
    }
}

/// `{id, class, height}`.
#[derive(Serialize, Deserialize)]
pub(super) struct Reference {
    id: ByteArray<32>,
    class: u64,
    height: u64,
}

impl From<NodeRef> for Reference {
    fn from(it: NodeRef) -> Self {
        Self { id: it.id.0.into(), class: it.class.code().into(), height: it.height.into() }
    }
}

impl TryFrom<Reference> for NodeRef {
    type Error = FormatError;

    fn try_from(it: Reference) -> Result<Self, FormatError> {
        let field = "class";
        let class = Class::from_code(it.class)
            .ok_or(FormatError::Invalid { field, why: "neither 0 nor 1" })?;
        let height = u8::try_from(it.height)
            .ok()
            .filter(|height| *height <= limits::NODE_HEIGHT_MAX)
            .ok_or(FormatError::TooMany {
                field: "height of a node",
                count: it.height,
                count_max: limits::NODE_HEIGHT_MAX.into(),
            })?;
        Ok(Self { id: ChunkId(*it.id), class, height })
    }
}

/// References of a body.
pub(super) fn references(wire: Vec<Reference>) -> Result<Vec<NodeRef>, FormatError> {
    wire.into_iter().map(TryInto::try_into).collect()
}

/// A secret of 32 bytes.
pub(super) fn secret(bytes: &[u8], field: &'static str) -> Result<Secret32, FormatError> {
    let bytes =
        bytes.try_into().map_err(|_| FormatError::Invalid { field, why: "not 32 bytes" })?;
    Ok(Secret32::new(bytes))
}

/// Whether something is in order.
pub(super) fn ensure(
    holds: bool,
    field: &'static str,
    why: &'static str,
) -> Result<(), FormatError> {
    if holds { Ok(()) } else { Err(FormatError::Invalid { field, why }) }
}

/// A number that this program keeps in 32 bits.
pub(super) fn number32(value: u64, field: &'static str) -> Result<u32, FormatError> {
    u32::try_from(value).map_err(|_| FormatError::TooMany {
        field,
        count: value,
        count_max: u32::MAX.into(),
    })
}

/// Runs of `N` bytes laid end to end.
fn runs<'a, const N: usize>(
    bytes: &'a [u8],
    field: &'static str,
) -> Result<&'a [[u8; N]], FormatError> {
    let (runs, rest) = bytes.as_chunks::<N>();
    ensure(rest.is_empty(), field, "a part of an item is missing")?;
    Ok(runs)
}

fn ascending<const N: usize>(runs: &[[u8; N]], field: &'static str) -> Result<(), FormatError> {
    ensure(runs.is_sorted_by(|left, right| left < right), field, "not ascending")
}

fn sorted<const N: usize>(mut runs: Vec<[u8; N]>) -> Vec<u8> {
    runs.sort_unstable();
    runs.dedup();
    runs.as_flattened().to_vec()
}

/// Pack names end to end, as given.
pub(super) fn packs(bytes: &[u8], field: &'static str) -> Result<Vec<PackId>, FormatError> {
    Ok(runs(bytes, field)?.iter().copied().map(PackId).collect())
}

/// Pack names end to end, ascending.
pub(super) fn pack_set(bytes: &[u8], field: &'static str) -> Result<Vec<PackId>, FormatError> {
    ascending(runs::<32>(bytes, field)?, field)?;
    packs(bytes, field)
}

/// The bytes of [`pack_set`], whatever the order given.
pub(super) fn pack_set_bytes(packs: &[PackId]) -> Vec<u8> {
    sorted(packs.iter().map(|pack| pack.0).collect())
}

/// Snapshot objects, ascending bytewise.
pub(super) fn snapshot_set(
    bytes: &[u8],
    field: &'static str,
) -> Result<Vec<SnapshotRef>, FormatError> {
    let runs = runs::<56>(bytes, field)?;
    ascending(runs, field)?;
    runs.iter()
        .map(|run| {
            let mut rest = run.as_slice();
            Ok(SnapshotRef {
                generation: u64::from_le_bytes(split(&mut rest, field)?),
                sid: SnapshotId(split(&mut rest, field)?),
                hash: ObjectHash(split(&mut rest, field)?),
            })
        })
        .collect()
}

/// The bytes of [`snapshot_set`], whatever the order given.
pub(super) fn snapshot_set_bytes(snapshots: &[SnapshotRef]) -> Vec<u8> {
    let run = |it: &SnapshotRef| {
        let parts: [&[u8]; 3] = [&it.generation.to_le_bytes(), &it.sid.0, &it.hash.0];
        joined::<56>(&parts)
    };
    sorted(snapshots.iter().map(run).collect())
}

/// Applied forgets: sid and k.
pub(super) fn forgets(
    bytes: &[u8],
    field: &'static str,
) -> Result<Vec<(SnapshotId, u64)>, FormatError> {
    runs::<24>(bytes, field)?
        .iter()
        .map(|run| {
            let mut rest = run.as_slice();
            Ok((SnapshotId(split(&mut rest, field)?), u64::from_le_bytes(split(&mut rest, field)?)))
        })
        .collect()
}

/// The bytes of [`forgets`].
pub(super) fn forgets_bytes(forgets: &[(SnapshotId, u64)]) -> Vec<u8> {
    forgets.iter().flat_map(|(sid, k)| joined::<24>(&[&sid.0, &k.to_le_bytes()])).collect()
}

/// Splits `N` bytes off the front.
pub(super) fn split<const N: usize>(
    bytes: &mut &[u8],
    field: &'static str,
) -> Result<[u8; N], FormatError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(FormatError::Truncated { field })?;
    *bytes = rest;
    Ok(*first)
}

/// `parts` end to end in an array, filled with zeros; what does not fit is cut.
pub(super) fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    out
}
