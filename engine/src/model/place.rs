//! Where chunks stand: classes, purposes, frames, footers and packs.

use super::{ChunkId, PackId};

/// Which keys a thing is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    Ordinary = 0,
    /// Secrets: keys of their own.
    S = 1,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Purpose {
    Data = 1,
    Metadata = 2,
    Index = 3,
    Control = 4,
}

/// The kinds of objects, with their codes in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectKind {
    Config = 1,
    Slot = 2,
    Ring = 3,
    /// A frame, and the pack that holds it.
    Frame = 4,
    Footer = 5,
    Segment = 6,
    Snapshot = 7,
    Forget = 8,
    Record = 9,
    Generation = 10,
    Close = 11,
    Fate = 12,
}

/// Whether a frame expands by itself or against base bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    Full = 1,
    Delta = 2,
}

/// How a frame's plaintext is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    Raw = 0,
    Zstd = 1,
}

/// One frame of a pack, as its footer tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes in the pack, nonce and tag counted.
    pub sealed_len: u32,
    /// Bytes after expanding.
    pub plain_len: u32,
    pub chunk_count: u32,
    pub base_count: u32,
    pub kind: FrameKind,
    pub codec: Codec,
    /// zstd level used; 0 for raw.
    pub level: i8,
}

/// One chunk of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub id: ChunkId,
    pub len: u32,
}

/// A range of a base chunk's bytes in the prefix of a delta frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    pub id: ChunkId,
    /// Number of the chunk in the frame that the range stands for.
    pub chunk: u32,
    pub offset: u32,
    pub len: u32,
}

/// The table at the end of a pack. Valid: counts and lengths agree (see the format).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    pub class: Class,
    /// Data or metadata.
    pub purpose: Purpose,
    pub frames: Vec<Frame>,
    pub chunks: Vec<Chunk>,
    pub bases: Vec<Base>,
}

/// A pack as index segments tell it: enough to read one frame with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackInfo {
    pub id: PackId,
    pub pack_len: u64,
    pub footer_sealed_len: u32,
    pub epoch: u32,
    pub salt: [u8; 32],
    pub footer: Footer,
}

macro_rules! codes {
    ($name:ident: $($variant:ident),+) => {
        impl $name {
            /// The code in the format.
            #[must_use]
            pub fn code(self) -> u8 {
                self as u8
            }

            /// The value with this code, if there is one.
            #[must_use]
            pub fn from_code(code: u64) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|value| u64::from(value.code()) == code)
            }
        }
    };
}

codes!(Class: Ordinary, S);
codes!(Purpose: Data, Metadata, Index, Control);
codes!(FrameKind: Full, Delta);
codes!(Codec: Raw, Zstd);

impl ObjectKind {
    /// The code in the format.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}
