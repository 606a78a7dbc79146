//! Every bound of the engine, with its unit and its reason. The format's page 8 has the same table.

/// Bytes of a config object.
pub const CONFIG_LEN_MAX: u64 = 2 << 20;
/// Bytes of a slot object.
pub const SLOT_LEN_MAX: u64 = 64 << 10;
/// Slots tried or listed; each password slot costs one key derivation.
pub const SLOT_COUNT_MAX: usize = 64;
/// Argon2 memory, KiB: below, guessing is cheap (a downgrade); above, a hostile slot exhausts memory.
pub const ARGON2_KIB_MIN: u32 = 64 << 10;
pub const ARGON2_KIB_MAX: u32 = 1 << 20;
/// Argon2 passes and lanes.
pub const ARGON2_PASSES_MAX: u32 = 16;
pub const ARGON2_LANES_MAX: u32 = 16;
/// Bytes of a ring object.
pub const RING_LEN_MAX: u64 = 1 << 20;
pub const RING_RECIPIENT_COUNT_MAX: usize = 64;
pub const EPOCH_COUNT_MAX: usize = 4096;
pub const RING_COUNT_MAX: u64 = 100_000;
/// Bytes of a pack.
pub const PACK_LEN_MAX: u64 = 128 << 20;
pub const PACK_FRAME_COUNT_MAX: u32 = 65_536;
pub const PACK_CHUNK_COUNT_MAX: u32 = 131_072;
pub const PACK_BASE_COUNT_MAX: u32 = 262_144;
/// Bytes of a chunk, and of a frame after expanding.
pub const CHUNK_LEN_MAX: u32 = 16 << 20;
pub const FRAME_PLAIN_LEN_MAX: u32 = 16 << 20;
/// What sealing and an incompressible payload may add to a frame, bytes.
pub const FRAME_OVERHEAD_MAX: u32 = 128 << 10;
/// Base-two logarithm of the zstd window.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 25;
/// Bytes of the prefix of a delta frame.
pub const PREFIX_LEN_MAX: u32 = 1 << 20;
/// Bytes of an index segment.
pub const SEGMENT_LEN_MAX: u64 = 64 << 20;
/// Bytes of a node.
pub const NODE_LEN_MAX: usize = 256 << 10;
pub const NODE_HEIGHT_MAX: u8 = 16;
/// Bytes of an entry as counted for cutting pages; the bounds of its parts keep every entry below.
pub const ENTRY_LEN_MAX: usize = 32 << 10;
/// Bytes of a path, and of one component (Linux: `NAME_MAX`).
pub const PATH_LEN_MAX: usize = 8192;
pub const COMPONENT_LEN_MAX: usize = 255;
/// Bytes of a user's or group's name (Linux: `LOGIN_NAME_MAX` 256 with its NUL).
pub const OWNER_NAME_LEN_MAX: usize = 255;
/// References that stand in an entry itself; more become an id list.
pub const INLINE_REFS_MAX: usize = 32;
/// Bytes of attributes that stand in an entry itself.
pub const XATTRS_INLINE_LEN_MAX: usize = 4096;
/// Bytes of an encoded attribute list (Linux: 64 KiB a value).
pub const XATTRS_LEN_MAX: u64 = 1 << 20;
/// Bytes of an attribute's name (Linux: `XATTR_NAME_MAX`).
pub const XATTR_NAME_LEN_MAX: usize = 255;
pub const HOLE_COUNT_MAX: usize = 256;
/// Bytes of a symbolic link's target (Linux: `PATH_MAX` 4096).
pub const LINK_TARGET_LEN_MAX: usize = 8192;
pub const ID_LIST_REFS_MAX: usize = 4096;
/// Bytes of a snapshot object.
pub const SNAPSHOT_LEN_MAX: u64 = 16 << 20;
pub const SNAPSHOT_SOURCE_COUNT_MAX: usize = 4096;
/// Bytes of a forget, record or fate.
pub const CONTROL_LEN_MAX: u64 = 1 << 20;
/// Bytes of a generation or close.
pub const GENERATION_LEN_MAX: u64 = 64 << 20;
/// Bytes of one text in CBOR.
pub const TEXT_LEN_MAX: usize = 64 << 10;
/// Levels of nesting in CBOR, the outer map counted.
pub const CBOR_DEPTH_MAX: usize = 16;
/// Items in one CBOR body, map keys counted: bounds what decoding takes.
pub const CBOR_ITEM_COUNT_MAX: u32 = 1 << 22;
/// KiB of Argon2 memory times passes, summed over the slots tried with one credential: about a
/// minute. Sixty-four strong slots stay below.
pub const ARGON2_KIB_PASSES_MAX: u64 = 64 << 20;
