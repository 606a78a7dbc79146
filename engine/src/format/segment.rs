//! Index segments: the footers of some packs, repeated. Format, page 4.

use super::reader::Reader;
use super::{FormatError, footer};
use crate::limits;
use crate::model::{ObjectKind, PACK_HEADER_LEN, PackId, PackInfo};

/// Bytes before a pack's footer body.
const PACK_HEAD_LEN: u64 = 88;
/// The shortest footer body: one frame with one chunk.
const FOOTER_LEN_MIN: u64 = 72;
/// What sealing adds to a footer's body: nonce, tag and true length.
const FOOTER_OVERHEAD: u64 = 48;
/// Bytes after the footer.
const TRAILER_LEN: u64 = 8;
const SCHEME: u8 = 1;
const VERSION: u8 = 1;

type Result<T> = std::result::Result<T, FormatError>;

/// Bytes that one pack takes in a segment's body; the body has 8 more.
#[must_use]
pub fn encoded_len(pack: &PackInfo) -> u64 {
    PACK_HEAD_LEN.saturating_add(footer::encoded_len(&pack.footer))
}

/// Encodes a segment's body.
///
/// # Errors
/// When there is no pack, the body is longer than a segment may be, or a pack breaks a rule.
pub fn encode(packs: &[PackInfo]) -> Result<Vec<u8>> {
    let len = packs.iter().map(encoded_len).fold(8, u64::saturating_add);
    if len > limits::SEGMENT_LEN_MAX {
        return Err(too_long("index segment", len, limits::SEGMENT_LEN_MAX));
    }
    let mut body = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    match u32::try_from(packs.len()) {
        Ok(count) if count > 0 => body.extend(count.to_le_bytes()),
        _ => return Err(invalid("pack count")),
    }
    body.extend([0; 4]);
    for pack in packs {
        check(pack)?;
        let table = footer::encode(&pack.footer)?;
        let table_len = u32::try_from(table.len());
        body.extend(pack.id.as_bytes());
        body.extend(pack.pack_len.to_le_bytes());
        body.extend(pack.footer_sealed_len.to_le_bytes());
        let overflow = |_| FormatError::Overflow { field: "footer" };
        body.extend(table_len.map_err(overflow)?.to_le_bytes());
        body.extend([SCHEME, VERSION, ObjectKind::Frame.code(), 0]);
        body.extend(pack.epoch.to_le_bytes());
        body.extend(pack.salt);
        body.extend(table);
    }
    Ok(body)
}

/// Decodes a segment's body.
///
/// # Errors
/// When it breaks a rule of the format.
pub fn decode(body: &[u8]) -> Result<Vec<PackInfo>> {
    let mut reader = Reader::new(body);
    let count = reader.u32("pack count")?;
    reader.reserved(4, "segment's reserved bytes")?;
    let room = u64::try_from(reader.remaining()).unwrap_or(u64::MAX);
    let count_max = room.checked_div(PACK_HEAD_LEN.saturating_add(FOOTER_LEN_MIN)).unwrap_or(0);
    if count == 0 {
        return Err(invalid("pack count"));
    }
    if u64::from(count) > count_max {
        return Err(FormatError::TooMany { field: "pack count", count: count.into(), count_max });
    }
    let packs = (0..count).map(|_| pack(&mut reader)).collect::<Result<Vec<_>>>()?;
    reader.finish("index segment")?;
    Ok(packs)
}

fn pack(reader: &mut Reader<'_>) -> Result<PackInfo> {
    let id = PackId(reader.array("name of a pack")?);
    let pack_len = reader.u64("length of a pack")?;
    let footer_sealed_len = reader.u32("sealed length of a footer")?;
    let field = "length of a footer";
    let table_len =
        usize::try_from(reader.u32(field)?).map_err(|_| FormatError::Overflow { field })?;
    let start: [u8; 4] = reader.array("header of a pack")?;
    if start != [SCHEME, VERSION, ObjectKind::Frame.code(), 0] {
        return Err(invalid("header of a pack"));
    }
    let epoch = reader.u32("epoch of a pack")?;
    let salt = reader.array("salt of a pack")?;
    let footer = footer::decode(reader.bytes(table_len, "footer")?)?;
    let pack = PackInfo { id, pack_len, footer_sealed_len, epoch, salt, footer };
    check(&pack)?;
    Ok(pack)
}

/// Checks that header, frames, footer and the last 8 bytes are the whole pack.
fn check(pack: &PackInfo) -> Result<()> {
    if pack.pack_len > limits::PACK_LEN_MAX {
        return Err(too_long("a pack", pack.pack_len, limits::PACK_LEN_MAX));
    }
    let sealed_len = u64::from(pack.footer_sealed_len);
    if footer::encoded_len(&pack.footer).saturating_add(FOOTER_OVERHEAD) > sealed_len {
        return Err(invalid("sealed length of a footer"));
    }
    let end = footer::frames_end(&pack.footer).saturating_add(sealed_len);
    if end.saturating_add(TRAILER_LEN) != pack.pack_len {
        return Err(invalid("length of a pack"));
    }
    Ok(())
}

fn too_long(what: &'static str, len: u64, len_max: u64) -> FormatError {
    FormatError::TooLong { what, len, len_max }
}

fn invalid(field: &'static str) -> FormatError {
    FormatError::Invalid { field, why: "against the rules of the segment" }
}

const _: () = assert!(PACK_HEADER_LEN == 40);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Footer;

    fn sample() -> Vec<PackInfo> {
        let pack = |byte: u8, footer: Footer| PackInfo {
            id: PackId([byte; 32]),
            pack_len: 4096,
            footer_sealed_len: 4096 - 8 - u32::try_from(footer::frames_end(&footer)).unwrap(),
            epoch: 3,
            salt: [byte; 32],
            footer,
        };
        vec![pack(1, footer::tests::sample()), pack(2, footer::tests::sample())]
    }

    #[test]
    fn segments_come_back_to_the_byte() {
        let body = encode(&sample()).unwrap();
        assert_eq!(body.len() as u64, 8 + sample().iter().map(encoded_len).sum::<u64>());
        assert_eq!(decode(&body), Ok(sample()));
    }

    #[test]
    fn segments_outside_the_rules_are_refused() {
        assert!(encode(&[]).is_err());
        assert!(decode(&[0; 8]).is_err());
        assert!(decode(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).is_err());
        for change in [
            |pack: &mut PackInfo| pack.pack_len += 1,
            |pack: &mut PackInfo| pack.pack_len = 1 << 40,
            |pack: &mut PackInfo| pack.footer_sealed_len = 100,
        ] {
            let mut packs = sample();
            change(&mut packs[1]);
            assert!(encode(&packs).is_err());
        }
        let body = encode(&sample()).unwrap();
        for len in 0..body.len() {
            assert!(decode(&body[..len]).is_err(), "{len}");
        }
        assert!(decode(&[&body[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(at in 0..1000_usize, bits in 1..=255_u8) {
            let mut body = encode(&sample()).unwrap();
            let at = at % body.len();
            body[at] ^= bits;
            if let Ok(packs) = decode(&body) {
                prop_assert_eq!(encode(&packs).unwrap(), body);
            }
        }
    }
}
