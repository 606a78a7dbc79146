//! The packs of the golden repository and its index segment.

use std::sync::Arc;

use coffer_engine::crypto::{Keyring, Place, object_hash};
use coffer_engine::format;
use coffer_engine::frame::{self, Compressed};
use coffer_engine::model::{Base, Chunk, Class, Codec, FrameKind, ObjectKind, PackInfo, Purpose};
use coffer_engine::pack::{NewFrame, PackBuilder};

use super::golden::{Golden, entropy};
use super::{check_file, describe, folder, is_writing};

const LEVEL: i32 = 3;

/// What zstd made of a frame is stored too: another version of zstd may make other bytes of it, and
/// the pack is none the less the same.
fn compressed(file: &str, plain: &[u8], compress: impl FnOnce() -> Compressed) -> Compressed {
    let name = format!("vectors/{file}");
    if is_writing() {
        let made = compress();
        check_file(&name, &made.payload);
        return made;
    }
    let payload = std::fs::read(folder().join(name)).unwrap();
    let plain_len = plain.len().try_into().unwrap();
    Compressed { codec: Codec::Zstd, level: 3, plain_len, payload }
}

fn chunk(keyring: &Keyring, purpose: Purpose, plain: &[u8]) -> Chunk {
    chunk_of(keyring, Class::Ordinary, purpose, plain)
}

fn chunk_of(keyring: &Keyring, class: Class, purpose: Purpose, plain: &[u8]) -> Chunk {
    let id = keyring.chunk_id(class, purpose, plain).unwrap();
    Chunk { id, len: plain.len().try_into().unwrap() }
}

pub fn add(golden: &mut Golden) {
    let keyring = golden.keyring();
    let plain = &golden.plain;
    let data = |bytes: &[u8]| chunk(keyring, Purpose::Data, bytes);
    let raw = frame::compress(plain.noise.clone(), LEVEL).unwrap();
    assert_eq!(raw.codec, Codec::Raw);
    let joined = [&plain.text[..], &plain.attributes].concat();
    let full =
        compressed("frame-text.zst", &joined, || frame::compress(joined.clone(), LEVEL).unwrap());
    let prefix = plain.text.clone();
    let delta = compressed("frame-delta.zst", &plain.edited, || {
        frame::compress_delta(&plain.edited, &prefix, LEVEL).unwrap()
    });
    let text = data(&plain.text);
    let base = Base { id: text.id, chunk: 0, offset: 0, len: text.len };
    let frames = [
        NewFrame::full(raw, vec![data(&plain.noise)]),
        NewFrame::full(full, vec![text, data(&plain.attributes)]),
        NewFrame {
            compressed: delta,
            chunks: vec![data(&plain.edited)],
            bases: vec![base],
            prefix: Some(Arc::new(prefix)),
        },
    ];
    assert_eq!(frames[2].bases.len(), 1);
    let data_pack = seal("pack-data.bin", keyring, Class::Ordinary, Purpose::Data, &frames);

    let nodes: Vec<_> = golden.nodes.all().map(|node| node.bytes.clone()).to_vec();
    let chunks = nodes.iter().map(|bytes| chunk(keyring, Purpose::Metadata, bytes)).collect();
    let joined = nodes.concat();
    let full =
        compressed("frame-nodes.zst", &joined, || frame::compress(joined.clone(), LEVEL).unwrap());
    let frames = [NewFrame::full(full, chunks)];
    let metadata_pack =
        seal("pack-metadata.bin", keyring, Class::Ordinary, Purpose::Metadata, &frames);

    let secret_data = secret_pack("pack-secret-data.bin", keyring, Purpose::Data, &plain.secret);
    let page = &golden.nodes.secret_page.bytes;
    let secret_nodes = secret_pack("pack-secret-metadata.bin", keyring, Purpose::Metadata, page);

    let packs = [
        ("pack-data.bin", data_pack),
        ("pack-metadata.bin", metadata_pack),
        ("pack-secret-data.bin", secret_data),
        ("pack-secret-metadata.bin", secret_nodes),
    ];
    let infos: Vec<_> = packs.iter().map(|(_, (_, info))| info.clone()).collect();
    let body = format::segment::encode(&infos).unwrap();
    let file = "index-segment.bin";
    let segment =
        keyring.seal_object(&entropy(file), ObjectKind::Segment, &Place::none(), &body).unwrap();
    for (file, (bytes, info)) in packs {
        let name = coffer_engine::repo::pack_name(info.id);
        golden.add(file, name, bytes, describe::pack(&info));
    }
    let name = format!("index/{}", super::hex(&object_hash(&segment)));
    let decoded = infos.iter().map(describe::segment_row).collect::<Vec<_>>();
    golden.add(file, name, segment, decoded.into());
    golden.packs = infos;
}

/// A pack of class S with one frame: a chunk, and the zeros that fill it up.
fn secret_pack(
    file: &str,
    keyring: &Keyring,
    purpose: Purpose,
    plain: &[u8],
) -> (Vec<u8>, PackInfo) {
    let padded = coffer_engine::crypto::padded_len(plain.len() as u64);
    let zeros = vec![0; usize::try_from(padded).unwrap() - plain.len()];
    let chunks = [plain, &zeros].map(|bytes| chunk_of(keyring, Class::S, purpose, bytes));
    let raw = frame::raw([plain, &zeros].concat()).unwrap();
    seal(file, keyring, Class::S, purpose, &[NewFrame::full(raw, chunks.to_vec())])
}

/// Seals a pack under the randomness named like its file.
pub fn seal(
    file: &str,
    keyring: &Keyring,
    class: Class,
    purpose: Purpose,
    frames: &[NewFrame],
) -> (Vec<u8>, PackInfo) {
    let sealer = keyring.new_pack(&entropy(file), class, purpose).unwrap();
    let mut builder = PackBuilder::new(sealer);
    let mut bytes = builder.header();
    for frame in frames {
        let sealed =
            builder.place(frame.clone()).unwrap().seal(keyring, Default::default()).unwrap().bytes;
        builder.append(&sealed);
        bytes.extend_from_slice(&sealed);
    }
    let (tail, info) = builder.finish(keyring).unwrap();
    bytes.extend_from_slice(&tail);
    let kinds: Vec<_> = info.footer.frames.iter().map(|frame| frame.kind).collect();
    assert!(purpose == Purpose::Data || kinds.iter().all(|kind| *kind == FrameKind::Full));
    (bytes, info)
}
