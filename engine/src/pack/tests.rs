use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::crypto::{Keyring, object_hash, testing};
use crate::error::Result;
use crate::frame;
use crate::limits;
use crate::model::{
    Base, Chunk, ChunkId, Class, Codec, Entropy, FrameKind, FramePlace, PackInfo, Purpose,
};

struct Fixture {
    entropy: Entropy,
    keyring: Keyring,
}

impl Fixture {
    fn new() -> Self {
        let entropy = Entropy::fixed(b"pack");
        let keyring = testing::keyring(&entropy, &[]);
        Self { entropy, keyring }
    }

    fn builder(&self) -> PackBuilder {
        let sealer = self.keyring.new_pack(&self.entropy, Class::Ordinary, Purpose::Data);
        PackBuilder::new(sealer.unwrap())
    }

    fn chunks(&self, plain: &[u8], lens: &[usize]) -> Vec<Chunk> {
        let mut rest = plain;
        let mut take = |len: &usize| {
            let (bytes, after) = rest.split_at(*len);
            rest = after;
            let id = self.keyring.data_id(Class::Ordinary, bytes).unwrap();
            Chunk { id, len: u32::try_from(*len).unwrap() }
        };
        lens.iter().map(&mut take).collect()
    }

    fn full(&self, plain: &[u8], lens: &[usize]) -> NewFrame {
        NewFrame::full(frame::compress(plain.to_vec(), 3).unwrap(), self.chunks(plain, lens))
    }

    fn delta(&self, plain: &[u8], prefix: &[u8], bases: Vec<Base>) -> NewFrame {
        // zstd ignores a prefix that overlaps the plaintext in memory.
        let prefix = prefix.to_vec();
        NewFrame {
            compressed: frame::compress_delta(plain, &prefix, 3).unwrap(),
            chunks: self.chunks(plain, &[plain.len()]),
            bases,
            prefix: Some(Arc::new(prefix)),
        }
    }

    fn append(&self, builder: &mut PackBuilder, frame: NewFrame) -> Result<Vec<u8>> {
        // What the rooms hold must not pass for what comes out of the seal.
        let rooms = [vec![9; 70_000], text()];
        let sealed = builder.place(frame)?.seal(&self.keyring, rooms)?.bytes;
        builder.append(&sealed);
        Ok(sealed)
    }

    /// Text, noise, and a delta against the text; all bytes of the pack.
    fn pack(&self) -> (Vec<u8>, PackInfo) {
        let mut builder = self.builder();
        let text = text();
        let mut noise = vec![0; 20_000];
        self.entropy.fill(&mut noise);
        let text_frame = self.full(&text, &[1, 20_000, text.len() - 20_001]);
        let base = Base { id: text_frame.chunks[1].id, chunk: 0, offset: 100, len: 19_000 };
        let mut bytes = builder.header();
        bytes.extend(self.append(&mut builder, text_frame).unwrap());
        let mut changed = text[101..19_101].to_vec();
        changed[77] ^= 1;
        let delta = self.delta(&changed, &text[101..19_101], vec![base]);
        for frame in [self.full(&noise, &[noise.len()]), delta] {
            bytes.extend(self.append(&mut builder, frame).unwrap());
        }
        assert_eq!(builder.len(), bytes.len() as u64);
        assert_eq!((builder.frame_count(), builder.chunk_count()), (3, 5));
        let (tail, info) = builder.finish(&self.keyring).unwrap();
        bytes.extend(tail);
        (bytes, info)
    }

    fn read_footer(&self, bytes: &[u8], info: &PackInfo) -> Result<PackInfo> {
        let read = |offset: u64, len: usize| {
            let start = usize::try_from(offset).unwrap();
            Ok(bytes[start..start + len].to_vec())
        };
        read_footer(&self.keyring, info.id, bytes.len() as u64, &read)
    }

    /// Opens every frame and names every chunk, as `verify` does.
    fn read_all(&self, bytes: &[u8], info: &PackInfo) -> Result<HashMap<ChunkId, Vec<u8>>> {
        let mut found: HashMap<ChunkId, Vec<u8>> = HashMap::new();
        for view in info.footer.views() {
            let start = view.place.position as usize;
            let sealed = &bytes[start..start + view.place.sealed_len as usize];
            let prefix = match view.place.kind {
                FrameKind::Full => None,
                FrameKind::Delta => Some(join_prefix(view.bases, &mut |id| Ok(found[id].clone()))?),
            };
            let plain =
                open_frame(&self.keyring, &info.meta(), &view.place, sealed, prefix.as_deref())?;
            check_chunks(&self.keyring, Class::Ordinary, Purpose::Data, &plain, view.chunks)?;
            for (chunk, range) in view.ranges() {
                let range = range.start as usize..range.end as usize;
                found.insert(chunk.id, plain[range].to_vec());
            }
        }
        Ok(found)
    }
}

fn text() -> Vec<u8> {
    (0..5000).flat_map(|number| format!("line {}\n", number * 7919).into_bytes()).collect()
}

#[test]
fn packs_come_back_and_are_named_by_their_bytes() {
    let fixture = Fixture::new();
    let (bytes, info) = fixture.pack();
    assert_eq!(info.id.0, object_hash(&bytes));
    assert_eq!(info.pack_len, bytes.len() as u64);
    assert_eq!(info.pack_len, crate::crypto::padded_len(info.pack_len));
    assert_eq!(fixture.read_footer(&bytes, &info).unwrap(), info);
    let kinds = info.footer.frames.iter().map(|frame| (frame.kind, frame.codec));
    let (full, delta) = (FrameKind::Full, FrameKind::Delta);
    let wanted = [(full, Codec::Zstd), (full, Codec::Raw), (delta, Codec::Zstd)];
    assert!(kinds.eq(wanted));
    let found = fixture.read_all(&bytes, &info).unwrap();
    assert_eq!(found[&info.footer.chunks[0].id], b"l");
    assert_eq!(found.len(), 5);
}

#[test]
fn a_long_footer_is_read_whole() {
    let fixture = Fixture::new();
    let mut builder = fixture.builder();
    let plain = vec![7; 4000];
    let mut bytes = builder.header();
    bytes.extend(fixture.append(&mut builder, fixture.full(&plain, &[1; 4000])).unwrap());
    let (tail, info) = builder.finish(&fixture.keyring).unwrap();
    bytes.extend(tail);
    assert!(info.footer_sealed_len > 64 << 10);
    assert_eq!(fixture.read_footer(&bytes, &info).unwrap(), info);
}

#[test]
fn every_changed_byte_of_a_pack_is_found() {
    let fixture = Fixture::new();
    let (mut bytes, info) = fixture.pack();
    let step = bytes.len() / 300;
    let places = (0..48).chain((0..bytes.len()).step_by(step)).chain(bytes.len() - 20..bytes.len());
    for at in places {
        bytes[at] ^= 0x10;
        let footer = fixture.read_footer(&bytes, &info);
        let data = fixture.read_all(&bytes, &info);
        assert!(footer.is_err() || data.is_err(), "byte {at}");
        bytes[at] ^= 0x10;
    }
    assert!(fixture.read_footer(&bytes, &info).is_ok() && fixture.read_all(&bytes, &info).is_ok());
}

#[test]
fn a_pack_of_another_length_is_refused() {
    let fixture = Fixture::new();
    let (bytes, info) = fixture.pack();
    for len in (0..100).chain([bytes.len() - 4096, bytes.len() - 8, bytes.len() - 1]) {
        assert!(fixture.read_footer(&bytes[..len], &info).is_err(), "{len}");
    }
    let longer = [&bytes[..], &[0; 4096]].concat();
    assert!(fixture.read_footer(&longer, &info).is_err());
    let huge = read_footer(&fixture.keyring, info.id, 1 << 40, &|_, _| unreachable!());
    assert_eq!(huge.unwrap_err().kind(), Kind::Corrupt);
    let lying = |_: u64, len: usize| Ok(vec![0xff; len]);
    assert!(read_footer(&fixture.keyring, info.id, 1 << 20, &lying).is_err());
}

#[test]
fn a_frame_opens_only_in_its_own_place() {
    let fixture = Fixture::new();
    let (bytes, info) = fixture.pack();
    let (other_bytes, other) = fixture.pack();
    let views: Vec<_> = info.footer.views().collect();
    let open = |meta, place: FramePlace, bytes: &[u8]| {
        let start = views[0].place.position as usize;
        let sealed = &bytes[start..start + views[0].place.sealed_len as usize];
        open_frame(&fixture.keyring, &meta, &place, sealed, None)
    };
    let place = views[0].place;
    assert!(open(info.meta(), place, &bytes).is_ok());
    assert!(open(info.meta(), place, &other_bytes).is_err(), "the same place of another pack");
    let mut meta = info.meta();
    for change in [
        |place: &mut FramePlace| place.position += 1,
        |place: &mut FramePlace| place.plain_len += 1,
        |place: &mut FramePlace| place.kind = FrameKind::Delta,
        |place: &mut FramePlace| place.codec = Codec::Raw,
    ] {
        let mut moved = place;
        change(&mut moved);
        let error = open(meta, moved, &bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().starts_with(&format!("pack {}, frame at", info.id)), "{error}");
    }
    meta.salt = other.salt;
    assert!(open(meta, place, &bytes).is_err());
    meta = info.meta();
    meta.purpose = Purpose::Metadata;
    assert!(open(meta, place, &bytes).is_err());
    meta = info.meta();
    meta.class = Class::S;
    assert!(open(meta, place, &bytes).is_err());
    meta = info.meta();
    meta.epoch = 9;
    assert!(open(meta, place, &bytes).is_err());
}

#[test]
fn a_frame_that_does_not_come_back_is_never_given_out() {
    let fixture = Fixture::new();
    let text = text();
    let sound = fixture.full(&text, &[text.len()]);
    let refuse = |frame: NewFrame| {
        let mut builder = fixture.builder();
        fixture.append(&mut builder, sound.clone()).unwrap();
        let error = fixture.append(&mut builder, frame).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        // A pack that lacks the seal of a placed frame has no end.
        assert_eq!(builder.finish(&fixture.keyring).unwrap_err().kind(), Kind::Input);
    };
    let mut frame = sound.clone();
    frame.compressed.payload[100] ^= 1;
    refuse(frame);
    let mut frame = sound.clone();
    frame.chunks[0].id.0[5] ^= 1;
    refuse(frame);
    let mut frame = sound.clone();
    frame.chunks[0].len -= 1;
    refuse(frame);
    let mut frame = sound.clone();
    frame.compressed.plain_len -= 1;
    refuse(frame);
    let base = Base { id: sound.chunks[0].id, chunk: 0, offset: 0, len: 9000 };
    let mut delta = fixture.delta(&text, &text[..9000], vec![base]);
    delta.prefix = Some(Arc::new(text[1..9001].to_vec()));
    refuse(delta);
}

#[test]
fn nothing_of_a_secret_stays_in_memory_that_is_used_again() {
    let fixture = Fixture::new();
    let text = text();
    for class in [Class::Ordinary, Class::S] {
        let sealer = fixture.keyring.new_pack(&fixture.entropy, class, Purpose::Data).unwrap();
        let id = fixture.keyring.data_id(class, &text).unwrap();
        let chunk = Chunk { id, len: u32::try_from(text.len()).unwrap() };
        let frame = NewFrame::full(frame::raw(text.clone()).unwrap(), vec![chunk]);
        let placed = PackBuilder::new(sealer).place(frame).unwrap();
        let sealed = placed.seal(&fixture.keyring, [vec![1; 9], vec![2; 9]]).unwrap();
        // Wiping empties them.
        let kept: Vec<usize> = sealed.rooms.iter().map(Vec::len).collect();
        let wanted = if class == Class::S { [0, 0] } else { [text.len(), text.len()] };
        assert_eq!(kept, wanted, "{class:?}");
    }
}

#[test]
fn a_pack_has_frames_and_keeps_the_limits() {
    let fixture = Fixture::new();
    assert_eq!(fixture.builder().finish(&fixture.keyring).unwrap_err().kind(), Kind::Input);
    let mut many = fixture.full(&[1], &[1]);
    many.chunks = vec![many.chunks[0]; limits::PACK_CHUNK_COUNT_MAX as usize + 1];
    let mut builder = fixture.builder();
    assert!(!builder.has_room_for(&many));
    assert_eq!(builder.place(many).err().unwrap().kind(), Kind::Input);
    let mut big = fixture.full(&[1], &[1]);
    big.compressed.payload = vec![0; 16 << 20];
    (0..7).for_each(|_| drop(builder.place(big.clone()).unwrap()));
    assert!(!builder.has_room_for(&big));
}

#[test]
fn bases_outside_their_chunk_are_refused() {
    let base = |offset, len| Base { id: ChunkId([1; 32]), chunk: 0, offset, len };
    let join = |bases: &[Base]| join_prefix(bases, &mut |_| Ok(vec![5; 1 << 20]));
    assert_eq!(join(&[base(1, 3), base(0, 2)]).unwrap(), [5; 5]);
    assert!(join(&[base(0, (1 << 20) + 1)]).is_err());
    assert!(join(&[base(u32::MAX, u32::MAX)]).is_err());
    assert!(join(&[base(0, 1 << 20), base(0, 1)]).is_err());
}
