//! Every decoder of bytes that a store, or a host with a key, may have forged: one function each, which
//! must return for any input. The fuzz targets call them, and so does the smoke test of the workspace.

use std::hint::black_box;

use coffer_engine::crypto::{Header, ring, slot};
use coffer_engine::format;
use coffer_engine::frame;
use coffer_engine::model::{Codec, EntryPath, ObjectKind};

/// A decoder under test.
pub type Decoder = fn(&[u8]);

/// The decoders by name; each name is a fuzz target.
pub const DECODERS: &[(&str, Decoder)] = &[
    ("config_head", config_head),
    ("config_body", config_body),
    ("slot_header", slot_header),
    ("slot_body", slot_body),
    ("key_file", key_file),
    ("ring_head", ring_head),
    ("ring_body", ring_body),
    ("ring_secrets", ring_secrets),
    ("object_header", object_header),
    ("snapshot", snapshot),
    ("forget", forget),
    ("record", record),
    ("generation", generation),
    ("close", close),
    ("fate", fate),
    ("footer", footer),
    ("segment", segment),
    ("page", page),
    ("table", table),
    ("id_list", id_list),
    ("xattrs", xattrs),
    ("path", path),
    ("frame", frame),
];

pub fn config_head(bytes: &[u8]) {
    let _ = black_box(format::config::split_object(bytes));
}

pub fn config_body(bytes: &[u8]) {
    let _ = black_box(format::config::decode(bytes));
}

pub fn slot_header(bytes: &[u8]) {
    let _ = black_box(slot::SlotHeader::decode(bytes));
}

pub fn slot_body(bytes: &[u8]) {
    let _ = black_box(format::slot::decode(bytes));
}

pub fn key_file(bytes: &[u8]) {
    let _ = black_box(slot::parse_key_file(bytes));
}

pub fn ring_head(bytes: &[u8]) {
    let _ = black_box(ring::decode_ring_head(bytes));
    let _ = black_box(ring::check_ring_signature(bytes, &[0; 32]));
}

pub fn ring_body(bytes: &[u8]) {
    let _ = black_box(format::ring::decode(bytes));
}

pub fn ring_secrets(bytes: &[u8]) {
    let _ = black_box(format::ring::decode_secrets(bytes));
}

pub fn object_header(bytes: &[u8]) {
    for kind in [ObjectKind::Frame, ObjectKind::Segment, ObjectKind::Snapshot] {
        let _ = black_box(Header::decode(bytes, kind));
    }
}

pub fn snapshot(bytes: &[u8]) {
    let _ = black_box(format::snapshot::decode(bytes));
}

pub fn forget(bytes: &[u8]) {
    let _ = black_box(format::forget::decode(bytes));
}

pub fn record(bytes: &[u8]) {
    let _ = black_box(format::record::decode(bytes));
}

pub fn generation(bytes: &[u8]) {
    let _ = black_box(format::generation::decode(bytes));
}

pub fn close(bytes: &[u8]) {
    let _ = black_box(format::generation::decode_close(bytes));
}

pub fn fate(bytes: &[u8]) {
    let _ = black_box(format::generation::decode_fate(bytes));
}

pub fn footer(bytes: &[u8]) {
    if let Ok(footer) = black_box(format::footer::decode(bytes)) {
        black_box(footer.views().count());
    }
}

pub fn segment(bytes: &[u8]) {
    let _ = black_box(format::segment::decode(bytes));
}

pub fn page(bytes: &[u8]) {
    let _ = black_box(format::node::references(bytes));
    let _ = black_box(format::node::decode_page(bytes));
}

pub fn table(bytes: &[u8]) {
    let _ = black_box(format::node::references(bytes));
    let _ = black_box(format::node::decode_table(bytes));
}

pub fn id_list(bytes: &[u8]) {
    let _ = black_box(format::node::references(bytes));
    let _ = black_box(format::node::decode_id_list(bytes));
}

pub fn xattrs(bytes: &[u8]) {
    let _ = black_box(format::node::decode_xattrs(bytes));
}

pub fn path(bytes: &[u8]) {
    if let Ok(path) = EntryPath::new(bytes) {
        black_box((path.name().len(), path.parent().is_some(), path.is_in(b"a")));
    }
}

/// The first byte chooses codec and prefix, two more the expanded length, the rest is the payload.
pub fn frame(bytes: &[u8]) {
    let [choice, low, high, payload @ ..] = bytes else { return };
    let codec = if choice & 1 == 0 { Codec::Raw } else { Codec::Zstd };
    let prefix: Option<&[u8]> = (choice & 2 != 0).then_some(b"a prefix of old bytes, old bytes");
    let plain_len = u32::from(u16::from_le_bytes([*low, *high])) + 1;
    let _ = black_box(frame::expand(codec, payload.to_vec(), plain_len, prefix));
}
