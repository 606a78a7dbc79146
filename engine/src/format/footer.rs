//! The table at the end of a pack: format, page 4.

use super::FormatError;
use super::reader::Reader;
use crate::limits;
use crate::model::{
    Base, Chunk, ChunkId, Class, Codec, Footer, Frame, FrameKind, PACK_HEADER_LEN, Purpose,
};

/// Bytes of a nonce and a tag: what sealing adds to a frame.
const SEAL_LEN: u64 = 40;
const HEAD_LEN: u64 = 16;
const FRAME_LEN: u64 = 20;
const CHUNK_LEN: u64 = 36;
const BASE_LEN: u64 = 48;

type Result<T> = std::result::Result<T, FormatError>;

/// Bytes of the encoded body.
#[must_use]
pub fn encoded_len(footer: &Footer) -> u64 {
    body_len(footer.frames.len(), footer.chunks.len(), footer.bases.len())
}

/// Encodes a footer's body.
///
/// # Errors
/// When the footer breaks a rule of the format.
pub fn encode(footer: &Footer) -> Result<Vec<u8>> {
    check(footer)?;
    let mut body = Vec::with_capacity(usize::try_from(encoded_len(footer)).unwrap_or(0));
    body.extend([footer.class.code(), footer.purpose.code(), 0, 0]);
    for count in [footer.frames.len(), footer.chunks.len(), footer.bases.len()] {
        let count = u32::try_from(count);
        put(&mut body, count.map_err(|_| FormatError::Overflow { field: "footer" })?);
    }
    for frame in &footer.frames {
        for number in [frame.sealed_len, frame.plain_len, frame.chunk_count, frame.base_count] {
            put(&mut body, number);
        }
        let [level] = frame.level.to_le_bytes();
        body.extend([frame.kind.code(), frame.codec.code(), level, 0]);
    }
    for chunk in &footer.chunks {
        body.extend(chunk.id.as_bytes());
        put(&mut body, chunk.len);
    }
    for base in &footer.bases {
        body.extend(base.id.as_bytes());
        for number in [base.chunk, base.offset, base.len, 0] {
            put(&mut body, number);
        }
    }
    Ok(body)
}

/// Decodes a footer's body and checks every rule of the format.
///
/// # Errors
/// When the body breaks one.
pub fn decode(body: &[u8]) -> Result<Footer> {
    let mut reader = Reader::new(body);
    let class = Class::from_code(reader.u8("class of the pack")?.into());
    let purpose = Purpose::from_code(reader.u8("purpose of the pack")?.into());
    reader.reserved(2, "footer's reserved bytes")?;
    let frame_count = count(&mut reader, "frame count", limits::PACK_FRAME_COUNT_MAX)?;
    let chunk_count = count(&mut reader, "chunk count", limits::PACK_CHUNK_COUNT_MAX)?;
    let base_count = count(&mut reader, "base count", limits::PACK_BASE_COUNT_MAX)?;
    let wanted = body_len(frame_count, chunk_count, base_count);
    // Before any table is read: the counts are then no larger than what is there.
    match u64::try_from(body.len()) {
        Ok(len) if len == wanted => {}
        Ok(len) if len > wanted => {
            let count = len.saturating_sub(wanted);
            return Err(FormatError::Trailing { what: "the footer", count });
        }
        _ => return Err(FormatError::Truncated { field: "footer" }),
    }
    let footer = Footer {
        class: class.ok_or(invalid("class of the pack"))?,
        purpose: purpose.ok_or(invalid("purpose of the pack"))?,
        frames: (0..frame_count).map(|_| frame(&mut reader)).collect::<Result<_>>()?,
        chunks: (0..chunk_count).map(|_| chunk(&mut reader)).collect::<Result<_>>()?,
        bases: (0..base_count).map(|_| base(&mut reader)).collect::<Result<_>>()?,
    };
    reader.finish("footer")?;
    check(&footer)?;
    Ok(footer)
}

/// Bytes of a pack from its start to the end of its last frame.
#[must_use]
pub fn frames_end(footer: &Footer) -> u64 {
    let sealed = footer.frames.iter().map(|frame| u64::from(frame.sealed_len));
    sealed.fold(u64::from(PACK_HEADER_LEN), u64::saturating_add)
}

fn frame(reader: &mut Reader<'_>) -> Result<Frame> {
    let sealed_len = reader.u32("sealed length of a frame")?;
    let plain_len = reader.u32("expanded length of a frame")?;
    let chunk_count = reader.u32("chunks of a frame")?;
    let base_count = reader.u32("bases of a frame")?;
    let kind = FrameKind::from_code(reader.u8("kind of a frame")?.into());
    let codec = Codec::from_code(reader.u8("codec of a frame")?.into());
    let level = i8::from_le_bytes(reader.array("level of a frame")?);
    reader.reserved(1, "frame's reserved byte")?;
    Ok(Frame {
        sealed_len,
        plain_len,
        chunk_count,
        base_count,
        kind: kind.ok_or(invalid("kind of a frame"))?,
        codec: codec.ok_or(invalid("codec of a frame"))?,
        level,
    })
}

fn chunk(reader: &mut Reader<'_>) -> Result<Chunk> {
    Ok(Chunk { id: ChunkId(reader.array("id of a chunk")?), len: reader.u32("length of a chunk")? })
}

fn base(reader: &mut Reader<'_>) -> Result<Base> {
    let base = Base {
        id: ChunkId(reader.array("id of a base")?),
        chunk: reader.u32("chunk of a base")?,
        offset: reader.u32("offset of a base")?,
        len: reader.u32("length of a base")?,
    };
    reader.reserved(4, "base's reserved bytes")?;
    Ok(base)
}

/// Checks what the tables say about each other.
fn check(footer: &Footer) -> Result<()> {
    let bounds = [
        ("frame count", footer.frames.len(), limits::PACK_FRAME_COUNT_MAX, 1),
        ("chunk count", footer.chunks.len(), limits::PACK_CHUNK_COUNT_MAX, 1),
        ("base count", footer.bases.len(), limits::PACK_BASE_COUNT_MAX, 0),
    ];
    for (field, count, count_max, count_min) in bounds {
        bound(field, count, count_max)?;
        require(count >= count_min, field)?;
    }
    require(matches!(footer.purpose, Purpose::Data | Purpose::Metadata), "purpose of the pack")?;
    let sum = |count: fn(&Frame) -> u32| {
        footer.frames.iter().map(count).map(u64::from).fold(0, u64::saturating_add)
    };
    let len = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    require(sum(|frame| frame.chunk_count) == len(footer.chunks.len()), "sum of chunks")?;
    require(sum(|frame| frame.base_count) == len(footer.bases.len()), "sum of bases")?;
    let end = frames_end(footer);
    if end > limits::PACK_LEN_MAX {
        let (what, len_max) = ("frames of a pack", limits::PACK_LEN_MAX);
        return Err(FormatError::TooLong { what, len: end, len_max });
    }
    for (frame, view) in footer.frames.iter().zip(footer.views()) {
        check_lengths(frame)?;
        check_chunks(frame, view.chunks)?;
        check_bases(frame, view.bases)?;
        let may_differ = frame.kind == FrameKind::Full || footer.purpose == Purpose::Data;
        require(may_differ, "kind of a frame of metadata")?;
    }
    Ok(())
}

fn check_lengths(frame: &Frame) -> Result<()> {
    let plain_len = u64::from(frame.plain_len);
    let sealed_len = u64::from(frame.sealed_len);
    let plain_len_max = u64::from(limits::FRAME_PLAIN_LEN_MAX);
    require((1..=plain_len_max).contains(&plain_len), "expanded length of a frame")?;
    let room = plain_len.saturating_add(u64::from(limits::FRAME_OVERHEAD_MAX));
    require(sealed_len > SEAL_LEN && sealed_len <= room, "sealed length of a frame")?;
    if frame.codec == Codec::Raw {
        let sealed_raw = plain_len.saturating_add(SEAL_LEN);
        require(sealed_len == sealed_raw, "sealed length of a raw frame")?;
        require(frame.level == 0, "level of a raw frame")?;
    }
    Ok(())
}

fn check_chunks(frame: &Frame, chunks: &[Chunk]) -> Result<()> {
    let sound = |chunk: &Chunk| (1..=limits::CHUNK_LEN_MAX).contains(&chunk.len);
    require(chunks.iter().all(sound), "length of a chunk")?;
    let sum = chunks.iter().map(|chunk| u64::from(chunk.len)).fold(0, u64::saturating_add);
    require(sum == u64::from(frame.plain_len), "sum of a frame's chunks")
}

fn check_bases(frame: &Frame, bases: &[Base]) -> Result<()> {
    match frame.kind {
        FrameKind::Full => return require(bases.is_empty(), "bases of a full frame"),
        FrameKind::Delta => require(frame.codec == Codec::Zstd, "codec of a delta frame")?,
    }
    require(!bases.is_empty(), "bases of a delta frame")?;
    require(bases.is_sorted_by_key(|base| base.chunk), "order of bases")?;
    for base in bases {
        require(base.chunk < frame.chunk_count, "chunk of a base")?;
        let end = base.offset.checked_add(base.len);
        let sound = base.len >= 1 && end.is_some_and(|end| end <= limits::CHUNK_LEN_MAX);
        require(sound, "range of a base")?;
    }
    let sum = bases.iter().map(|base| u64::from(base.len)).fold(0, u64::saturating_add);
    require(sum <= u64::from(limits::PREFIX_LEN_MAX), "prefix of a frame")
}

fn count(reader: &mut Reader<'_>, field: &'static str, count_max: u32) -> Result<usize> {
    let count = reader.u32(field)?;
    let count = usize::try_from(count).map_err(|_| FormatError::Overflow { field })?;
    bound(field, count, count_max).map(|()| count)
}

fn bound(field: &'static str, count: usize, count_max: u32) -> Result<()> {
    match u64::try_from(count) {
        Ok(count) if count <= u64::from(count_max) => Ok(()),
        Ok(count) => Err(FormatError::TooMany { field, count, count_max: count_max.into() }),
        Err(_) => Err(FormatError::Overflow { field }),
    }
}

fn body_len(frame_count: usize, chunk_count: usize, base_count: usize) -> u64 {
    let table =
        |count: usize, len: u64| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(len);
    HEAD_LEN
        .saturating_add(table(frame_count, FRAME_LEN))
        .saturating_add(table(chunk_count, CHUNK_LEN))
        .saturating_add(table(base_count, BASE_LEN))
}

fn require(holds: bool, field: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(invalid(field)) }
}

/// Out of the format's bounds, or in contradiction to another field.
fn invalid(field: &'static str) -> FormatError {
    FormatError::Invalid { field, why: "against the rules of the footer" }
}

fn put(body: &mut Vec<u8>, number: u32) {
    body.extend(number.to_le_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn sample() -> Footer {
        let id = |byte| ChunkId([byte; 32]);
        let full = Frame {
            sealed_len: 341,
            plain_len: 1000,
            chunk_count: 2,
            base_count: 0,
            kind: FrameKind::Full,
            codec: Codec::Zstd,
            level: -3,
        };
        let raw = Frame {
            sealed_len: 90,
            plain_len: 50,
            chunk_count: 1,
            codec: Codec::Raw,
            level: 0,
            ..full
        };
        let delta = Frame { base_count: 3, kind: FrameKind::Delta, level: 3, ..full };
        let base = |chunk| Base { id: id(9), chunk, offset: 7, len: 11 };
        Footer {
            class: Class::Ordinary,
            purpose: Purpose::Data,
            frames: vec![full, raw, delta],
            chunks: [400, 600, 50, 1, 999]
                .iter()
                .zip(1..)
                .map(|(len, byte)| Chunk { id: id(byte), len: *len })
                .collect(),
            bases: vec![base(0), base(1), base(1)],
        }
    }

    fn check_refused(change: impl FnOnce(&mut Footer), field: &str) {
        let mut footer = sample();
        change(&mut footer);
        let error = encode(&footer).unwrap_err();
        assert!(error.to_string().starts_with(field), "{error}");
    }

    #[test]
    fn footers_come_back_to_the_byte() {
        let body = encode(&sample()).unwrap();
        assert_eq!(body.len() as u64, encoded_len(&sample()));
        assert_eq!(body.len(), 16 + 3 * 20 + 5 * 36 + 3 * 48);
        assert_eq!(decode(&body), Ok(sample()));
        let positions: Vec<u32> = sample().views().map(|view| view.place.position).collect();
        assert_eq!(positions, [40, 381, 471]);
        assert_eq!(frames_end(&sample()), 812);
    }

    #[test]
    fn footers_that_contradict_themselves_are_refused() {
        check_refused(|footer| footer.purpose = Purpose::Index, "purpose");
        check_refused(|footer| footer.purpose = Purpose::Metadata, "kind of a frame of metadata");
        check_refused(|footer| footer.frames.clear(), "frame count");
        check_refused(|footer| footer.frames[0].chunk_count = 1, "sum of chunks");
        check_refused(|footer| footer.frames[2].base_count = 2, "sum of bases");
        check_refused(|footer| footer.frames[0].plain_len = 0, "expanded length");
        check_refused(|footer| footer.frames[0].plain_len = 1001, "sum of a frame");
        check_refused(|footer| footer.frames[0].sealed_len = 40, "sealed length");
        check_refused(|footer| footer.frames[0].sealed_len = 133_000, "sealed length");
        check_refused(|footer| footer.frames[1].sealed_len = 89, "sealed length of a raw");
        check_refused(|footer| footer.frames[1].level = 1, "level of a raw");
        check_refused(|footer| footer.frames[2].codec = Codec::Raw, "sealed length of a raw");
        check_refused(|footer| footer.frames[2].kind = FrameKind::Full, "bases of a full");
        check_refused(|footer| footer.frames[0].kind = FrameKind::Delta, "bases of a delta");
        check_refused(|footer| footer.chunks[3].len = 0, "length of a chunk");
        check_refused(|footer| footer.bases[2].chunk = 2, "chunk of a base");
        check_refused(|footer| footer.bases[2].chunk = 0, "order of bases");
        check_refused(|footer| footer.bases[0].len = 0, "range of a base");
        check_refused(|footer| footer.bases[0].offset = u32::MAX, "range of a base");
        check_refused(|footer| footer.bases[0].len = 1 << 20, "prefix");
        check_refused(
            |footer| {
                footer.frames = vec![Frame { sealed_len: 16 << 20, ..footer.frames[0] }; 9];
                footer.frames.iter_mut().for_each(|frame| frame.chunk_count = 1);
                footer.chunks = vec![footer.chunks[0]; 9];
                footer.bases.clear();
            },
            "frames of a pack",
        );
    }

    #[test]
    fn huge_counts_are_refused_before_they_cost_memory() {
        let mut body = encode(&sample()).unwrap();
        for at in [4, 8, 12] {
            let kept = body[at..at + 4].to_vec();
            for count in [u32::MAX, 300_000, 65_537, 60_000] {
                body[at..at + 4].copy_from_slice(&count.to_le_bytes());
                assert!(decode(&body).is_err());
            }
            body[at..at + 4].copy_from_slice(&kept);
        }
        assert_eq!(decode(&body), Ok(sample()));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            at in 0..400_usize, bits in 1..=255_u8, cut in prop::option::of(0..400_usize),
        ) {
            let mut body = encode(&sample()).unwrap();
            let at = at % body.len();
            body[at] ^= bits;
            body.truncate(cut.unwrap_or(body.len()));
            if let Ok(footer) = decode(&body) {
                prop_assert_eq!(encode(&footer).unwrap(), body);
            }
        }
    }
}
