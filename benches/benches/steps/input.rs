//! What is measured: made up, the same at every run.

use std::sync::Arc;

use coffer_engine::format::footer;
use coffer_engine::model::*;

/// Bytes of plaintext in a full frame.
pub const FRAME_LEN: usize = 4 << 20;

/// Bytes that shrink to about a third, as sources and logs do: words of a small vocabulary.
pub fn text(len: usize) -> Vec<u8> {
    let entropy = Entropy::fixed(b"text of a benchmark");
    let mut numbers = vec![0_u8; len / 2];
    entropy.fill(&mut numbers);
    let mut text = Vec::with_capacity(len + 16);
    for pair in numbers.chunks_exact(2) {
        // The smaller of two is skewed, as words are.
        let word = u32::from(pair[0].min(pair[1]));
        text.extend_from_slice(format!("{:x} ", word.wrapping_mul(2_654_435_761)).as_bytes());
        if text.len() >= len {
            break;
        }
    }
    text.resize(len, b'\n');
    text
}

/// Bytes that do not shrink.
pub fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Entropy::fixed(b"noise of a benchmark").fill(&mut bytes);
    bytes
}

/// A pack of chunks of 1000 bytes, in frames of 64.
pub fn pack_info(number: u32, chunk_count: usize) -> PackInfo {
    let entropy = Entropy::fixed(&[b"pack of a benchmark ", &number.to_le_bytes()[..]].concat());
    let chunk = |_| Chunk { id: ChunkId(entropy.bytes()), len: 1000 };
    let chunks: Vec<Chunk> = (0..chunk_count).map(chunk).collect();
    let frame = |chunks: &[Chunk]| Frame {
        sealed_len: 20_000,
        plain_len: chunks.iter().map(|chunk| chunk.len).sum(),
        chunk_count: u32::try_from(chunks.len()).unwrap(),
        base_count: 0,
        kind: FrameKind::Full,
        codec: Codec::Zstd,
        level: 3,
    };
    let frames: Vec<Frame> = chunks.chunks(64).map(frame).collect();
    let (class, purpose) = (Class::Ordinary, Purpose::Data);
    let footer = Footer { class, purpose, frames, chunks, bases: Vec::new() };
    // Its length field, nonce and tag; behind it 8 bytes that end the pack.
    let sealed_len = footer::encoded_len(&footer) + 48;
    PackInfo {
        id: PackId(entropy.bytes()),
        pack_len: footer::frames_end(&footer) + sealed_len + 8,
        footer_sealed_len: u32::try_from(sealed_len).unwrap(),
        epoch: 0,
        salt: entropy.bytes(),
        footer,
    }
}

/// Files of one chunk in one folder.
pub fn entries(count: usize) -> Vec<Entry> {
    let owner = Arc::new(Owner { uid: 1000, gid: 1000, ..Owner::default() });
    let entropy = Entropy::fixed(b"entries of a benchmark");
    let entry = |number: usize| {
        let chunk = NodeRef { id: ChunkId(entropy.bytes()), class: Class::Ordinary, height: 0 };
        let content = Content::Chunks(vec![chunk]);
        let secs = 1_700_000_000 + i64::try_from(number).unwrap();
        Entry {
            path: EntryPath::new(format!("srv/app/media/{number:08}.jpg").into_bytes()).unwrap(),
            kind: EntryKind::File { size: 20_000, content, holes: Vec::new() },
            mode: 0o644,
            owner: Arc::clone(&owner),
            mtime: Time { secs, nanos: 123_456_789 },
            ctime: Time { secs, nanos: 987_654_321 },
            inode: 1000 + number as u64,
            racy: false,
            database: false,
            link_group: 0,
            xattrs: Xattrs::default(),
        }
    };
    (0..count).map(entry).collect()
}
