//! The config: its clear head, and its sealed body.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, Bytes};
use zeroize::Zeroizing;

use super::FormatError;
use super::codec::{self, VERSION};
use super::wire::{ensure, joined, number32, secret, split};
use crate::limits;
use crate::model::{ConfigBody, ConfigHead, Features, Profile, RepositoryId};

/// Bytes of the head.
pub const HEAD_LEN: usize = 64;
const MAGIC: &[u8; 8] = b"COFFER\r\n";
const FORMAT_VERSION: u16 = 1;

/// A config object in its parts, not yet opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigParts<'a> {
    pub head: ConfigHead,
    /// The head as stored: it is associated data of the sealed body.
    pub head_bytes: &'a [u8; HEAD_LEN],
    pub ring: &'a [u8],
    pub sealed_body: &'a [u8],
}

/// The stored bytes of a head.
#[must_use]
pub fn encode_head(head: &ConfigHead) -> [u8; HEAD_LEN] {
    joined(&[
        MAGIC,
        &FORMAT_VERSION.to_le_bytes(),
        &[0; 2],
        &head.ring_len.to_le_bytes(),
        head.repository.as_bytes(),
        &head.features.read.to_le_bytes(),
        &head.features.write.to_le_bytes(),
        &head.features.prune.to_le_bytes(),
    ])
}

/// Takes a config object apart.
///
/// # Errors
/// If it is no config, of another version, too long or cut short.
pub fn split_object(bytes: &[u8]) -> Result<ConfigParts<'_>, FormatError> {
    let what = "the config";
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let len_max = limits::CONFIG_LEN_MAX;
    if len > len_max {
        return Err(FormatError::TooLong { what, len, len_max });
    }
    let cut = FormatError::Truncated { field: "the config" };
    let (head_bytes, rest) = bytes.split_first_chunk::<HEAD_LEN>().ok_or(cut.clone())?;
    let head = decode_head(head_bytes)?;
    let ring_len = usize::try_from(head.ring_len).map_err(|_| cut.clone())?;
    let (ring, sealed_body) = rest.split_at_checked(ring_len).ok_or(cut)?;
    Ok(ConfigParts { head, head_bytes, ring, sealed_body })
}

fn decode_head(mut bytes: &[u8]) -> Result<ConfigHead, FormatError> {
    let field = "the config's head";
    let rest = &mut bytes;
    ensure(split::<8>(rest, field)? == *MAGIC, field, "the magic of Coffer is missing")?;
    let version = u16::from_le_bytes(split(rest, field)?);
    if version != FORMAT_VERSION {
        return Err(FormatError::Version {
            what: "the repository",
            found: version.into(),
            known: FORMAT_VERSION.into(),
        });
    }
    if split::<2>(rest, field)? != [0; 2] {
        return Err(FormatError::Reserved { field });
    }
    let ring_len = u32::from_le_bytes(split(rest, field)?);
    let repository = RepositoryId(split(rest, field)?);
    let features = Features {
        read: u64::from_le_bytes(split(rest, field)?),
        write: u64::from_le_bytes(split(rest, field)?),
        prune: u64::from_le_bytes(split(rest, field)?),
    };
    if split::<8>(rest, field)? != [0; 8] {
        return Err(FormatError::Reserved { field });
    }
    Ok(ConfigHead { repository, ring_len, features })
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u64,
    repository: ByteArray<16>,
    created_ns: i64,
    chunker: u64,
    #[serde(borrow)]
    chunker_secret: &'a Bytes,
    #[serde(borrow)]
    profiles: Vec<WireProfile<'a>>,
    zstd_level: i64,
    frame_len: u64,
    pack_len: u64,
}

#[derive(Serialize, Deserialize)]
struct WireProfile<'a> {
    name: &'a str,
    min: u64,
    avg: u64,
    max: u64,
    delta: bool,
}

/// The CBOR of a config body.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode(body: &ConfigBody) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    body.profiles.iter().try_for_each(check_profile)?;
    let wire = Wire {
        v: VERSION,
        repository: body.repository.0.into(),
        created_ns: body.created_ns,
        chunker: body.chunker,
        chunker_secret: Bytes::new(body.chunker_secret.as_bytes()),
        profiles: body
            .profiles
            .iter()
            .map(|it| WireProfile {
                name: &it.name,
                min: it.min.into(),
                avg: it.avg.into(),
                max: it.max.into(),
                delta: it.delta,
            })
            .collect(),
        zstd_level: body.zstd_level.into(),
        frame_len: body.frame_len,
        pack_len: body.pack_len,
    };
    codec::encode_secret(&wire, 16 << 10)
}

/// Reads a config body.
///
/// # Errors
/// If it is not CBOR of the known version and form, or a value is out of its bounds.
pub fn decode(bytes: &[u8]) -> Result<ConfigBody, FormatError> {
    let wire: Wire<'_> = codec::decode("the config body", bytes, limits::CONFIG_LEN_MAX)?;
    let zstd_level = i32::try_from(wire.zstd_level).unwrap_or(i32::MAX);
    ensure((-7..=22).contains(&zstd_level), "zstd_level", "outside −7 to 22")?;
    let frame_len_max = u64::from(limits::FRAME_PLAIN_LEN_MAX);
    ensure((1..=frame_len_max).contains(&wire.frame_len), "frame_len", "outside its bounds")?;
    let pack_len_max = limits::PACK_LEN_MAX;
    ensure((1..=pack_len_max).contains(&wire.pack_len), "pack_len", "outside its bounds")?;
    Ok(ConfigBody {
        repository: RepositoryId(*wire.repository),
        created_ns: wire.created_ns,
        chunker: wire.chunker,
        chunker_secret: secret(wire.chunker_secret, "chunker_secret")?,
        profiles: wire.profiles.iter().map(profile).collect::<Result<_, _>>()?,
        zstd_level,
        frame_len: wire.frame_len,
        pack_len: wire.pack_len,
    })
}

fn profile(wire: &WireProfile<'_>) -> Result<Profile, FormatError> {
    let profile = Profile {
        name: wire.name.into(),
        min: number32(wire.min, "min of a profile")?,
        avg: number32(wire.avg, "avg of a profile")?,
        max: number32(wire.max, "max of a profile")?,
        delta: wire.delta,
    };
    check_profile(&profile)?;
    Ok(profile)
}

fn check_profile(it: &Profile) -> Result<(), FormatError> {
    let lengths = [it.min, it.avg, it.max];
    ensure(lengths.is_sorted() && it.min > 0, "profile", "not 0 < min ≤ avg ≤ max")?;
    ensure(it.max <= limits::CHUNK_LEN_MAX, "profile", "max is above the longest chunk")?;
    ensure(lengths.iter().all(|len| len & 1 == 0), "profile", "lengths are even")
}
