//! Reading what packs hold.

use super::corrupt;
use crate::crypto::{HEADER_LEN, Header, Keyring};
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::frame;
use crate::limits;
use crate::model::{
    Base, Chunk, ChunkId, Class, FramePlace, ObjectKind, PACK_HEADER_LEN, PackId, PackInfo,
    PackMeta, Purpose,
};

/// Reads a range of a stored pack: offset and length in bytes.
pub type ReadRange<'a> = dyn Fn(u64, usize) -> Result<Vec<u8>> + 'a;

/// Bytes after the footer: its sealed length.
const TRAILER_LEN: u64 = 8;
/// Bytes read at once from the end of a pack: most footers fit.
const TAIL_LEN: u64 = 64 << 10;
/// Bytes of a sealed footer, at most: full tables, seal and padding.
const FOOTER_SEALED_LEN_MAX: u64 = 20 << 20;

/// Opens and expands a stored frame, given its sealed bytes and, for a delta, its prefix.
///
/// # Errors
/// `Corrupt`, naming pack and position, if the bytes were damaged or belong elsewhere; `Refused`
/// if the keys of its class are not here.
pub fn open_frame(
    keyring: &Keyring,
    pack: &PackMeta,
    place: &FramePlace,
    sealed: &[u8],
    prefix: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let FramePlace { position, plain_len, kind, codec, .. } = *place;
    let open = || -> Result<Vec<u8>> {
        let opener = keyring.pack_opener(pack.epoch, &pack.salt, pack.class, pack.purpose)?;
        let mut payload = Vec::new();
        opener.open_frame(position.into(), kind, codec, plain_len, sealed, &mut payload)?;
        frame::expand(codec, payload, plain_len, prefix)
    };
    open().map_err(|error| error.context(format!("pack {}, frame at byte {position}", pack.id)))
}

/// Names every chunk of a frame's plaintext again and compares.
///
/// # Errors
/// `Corrupt`, naming the first chunk that differs, or if the lengths do not sum to the plaintext's;
/// `Refused` if the keys of the class are not here.
pub fn check_chunks(
    keyring: &Keyring,
    class: Class,
    purpose: Purpose,
    plain: &[u8],
    chunks: &[Chunk],
) -> Result<()> {
    let mut rest = plain;
    for chunk in chunks {
        let len = usize::try_from(chunk.len).unwrap_or(usize::MAX);
        let Some((bytes, after)) = rest.split_at_checked(len) else {
            return Err(corrupt(format!("chunk {} ends behind its frame", chunk.id)));
        };
        if keyring.chunk_id(class, purpose, bytes)? != chunk.id {
            return Err(corrupt(format!("chunk {} has other bytes than its name", chunk.id)));
        }
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(corrupt("bytes of a frame belong to no chunk")) }
}

/// Joins the ranges of base chunks to the prefix of a delta frame; `load` gives a full copy of a
/// chunk, already compared with its name.
///
/// # Errors
/// `Corrupt` if a range lies outside its chunk or the prefix is too long, and what `load` returns.
pub fn join_prefix<B: AsRef<[u8]>>(
    bases: &[Base],
    load: &mut dyn FnMut(&ChunkId) -> Result<B>,
) -> Result<Vec<u8>> {
    let mut prefix = Vec::new();
    for base in bases {
        let chunk = load(&base.id)?;
        let start = usize::try_from(base.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(base.len).unwrap_or(usize::MAX));
        let range = chunk.as_ref().get(start..end);
        prefix.extend_from_slice(
            range.ok_or_else(|| corrupt(format!("a base lies outside chunk {}", base.id)))?,
        );
        if u32::try_from(prefix.len()).map_or(true, |len| len > limits::PREFIX_LEN_MAX) {
            return Err(corrupt("the prefix of a frame is too long"));
        }
    }
    Ok(prefix)
}

/// Reads and opens the footer of a stored pack of `pack_len` bytes, in two requests or three.
///
/// # Errors
/// `Corrupt`, naming the pack, if it was damaged or is no pack; what `read` returns.
pub fn read_footer(
    keyring: &Keyring,
    id: PackId,
    pack_len: u64,
    read: &ReadRange<'_>,
) -> Result<PackInfo> {
    let named = |error: Error| error.context(format!("footer of pack {id}"));
    parse(keyring, id, pack_len, read).map_err(named)
}

fn parse(keyring: &Keyring, id: PackId, pack_len: u64, read: &ReadRange<'_>) -> Result<PackInfo> {
    let header_len = u64::from(PACK_HEADER_LEN);
    if pack_len > limits::PACK_LEN_MAX {
        return Err(corrupt(format!("{pack_len} bytes are too many for a pack")));
    }
    let no_room = || corrupt(format!("{pack_len} bytes do not hold header and footer"));
    let end = pack_len.checked_sub(TRAILER_LEN).filter(|end| *end > header_len);
    let end = end.ok_or_else(no_room)?;

    let tail_start = pack_len.saturating_sub(TAIL_LEN);
    let tail = exactly(read, tail_start, pack_len.saturating_sub(tail_start))?;
    let (before, trailer) = tail.split_last_chunk::<8>().ok_or_else(no_room)?;
    let sealed_len = u64::from_le_bytes(*trailer);
    let offset = end.checked_sub(sealed_len).filter(|offset| *offset > header_len);
    let offset = offset.filter(|_| sealed_len <= FOOTER_SEALED_LEN_MAX).ok_or_else(no_room)?;

    let sealed = if offset < tail_start {
        let missing = exactly(read, offset, tail_start.saturating_sub(offset))?;
        [&missing, before].concat()
    } else {
        let skipped = usize::try_from(offset.saturating_sub(tail_start)).unwrap_or(usize::MAX);
        before.get(skipped..).unwrap_or_default().to_vec()
    };
    let header = match tail.first_chunk::<HEADER_LEN>() {
        Some(header) if tail_start == 0 => *header,
        _ => *exactly(read, 0, header_len)?.first_chunk::<HEADER_LEN>().ok_or_else(no_room)?,
    };
    let body = keyring.open_footer(&header, offset, &sealed)?;
    let footer = format::footer::decode(&body)?;
    if format::footer::frames_end(&footer) != offset {
        return Err(corrupt("the frames do not end where the footer begins"));
    }
    let header = Header::decode(&header, ObjectKind::Frame)?;
    let footer_sealed_len = u32::try_from(sealed_len).map_err(|_| no_room())?;
    let (epoch, salt) = (header.epoch, header.salt);
    Ok(PackInfo { id, pack_len, footer_sealed_len, epoch, salt, footer })
}

fn exactly(read: &ReadRange<'_>, offset: u64, len: u64) -> Result<Vec<u8>> {
    let wanted = usize::try_from(len).unwrap_or(usize::MAX);
    let bytes = read(offset, wanted)?;
    if bytes.len() == wanted {
        Ok(bytes)
    } else {
        Err(Error::new(Kind::Unavailable, format!("{} of {len} bytes were read", bytes.len())))
    }
}
