//! Decoded values as JSON: bytes as hex digits, or as text where the format has text.

use coffer_engine::crypto::ring::open_ring;
use coffer_engine::crypto::slot::open_slot;
use coffer_engine::crypto::{Credential, Keyring, Secret32, config::open_config};
use coffer_engine::format::{self, node::NodeKind};
use coffer_engine::model::{
    Class, Content, Entry, EntryKind, NodeRef, PackInfo, Purpose, RepositoryId, SlotId, Time,
    Xattr, Xattrs,
};
use coffer_engine::repo::keys::Unlocked;
use serde_json::{Map, Value, json};

use super::golden::Golden;
use super::hex;

/// CBOR of the form the format allows, as JSON: byte strings as `h'…'`.
pub fn cbor(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    let value = item(&mut rest);
    assert!(rest.is_empty(), "bytes after the map");
    value
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> &'a [u8] {
    let (taken, after) = rest.split_at(len.try_into().unwrap());
    *rest = after;
    taken
}

fn item(rest: &mut &[u8]) -> Value {
    let first = take(rest, 1)[0];
    let low = first & 31;
    if first >> 5 == 7 {
        return match low {
            20 => Value::Bool(false),
            21 => Value::Bool(true),
            22 => Value::Null,
            _ => panic!("simple value {low}"),
        };
    }
    let argument = match low {
        0..24 => u64::from(low),
        24..28 => {
            let bytes = take(rest, 1 << (low - 24));
            bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        }
        _ => panic!("indefinite length"),
    };
    match first >> 5 {
        0 => json!(argument),
        1 => json!(-1 - i64::try_from(argument).unwrap()),
        2 => json!(format!("h'{}'", hex(take(rest, argument)))),
        3 => json!(std::str::from_utf8(take(rest, argument)).unwrap()),
        4 => (0..argument).map(|_| item(rest)).collect(),
        5 => {
            let pair = |rest: &mut &[u8]| {
                let key = item(rest);
                (key.as_str().unwrap().to_owned(), item(rest))
            };
            Value::Object((0..argument).map(|_| pair(rest)).collect::<Map<_, _>>())
        }
        major => panic!("major type {major}"),
    }
}

pub fn config(keyring: &Keyring, bytes: &[u8], unlocked: &Unlocked) -> Value {
    let parts = format::config::split_object(bytes).unwrap();
    let control = &unlocked.ring.epochs[0].keys[&Purpose::Control];
    let (head, sealed) = (parts.head_bytes, parts.sealed_body);
    let body = open_config(keyring.repository(), control, head, sealed).unwrap();
    json!({
        "head": hex(head),
        "repository": parts.head.repository.to_string(),
        "ring_length": parts.head.ring_len,
        "body_plain": hex(&body),
        "body": cbor(&body),
    })
}

pub fn slot(
    repository: RepositoryId,
    slot: &SlotId,
    credential: &Credential,
    bytes: &[u8],
) -> Value {
    let body = open_slot(bytes, (repository, *slot), credential).unwrap();
    json!({ "body_plain": hex(&body), "body": cbor(&body) })
}

/// A ring as the key file's slot opens it.
pub fn ring(home: (RepositoryId, u32), slot: &SlotId, secret: &Secret32, bytes: &[u8]) -> Value {
    let opened = open_ring(bytes, home, slot, secret).unwrap();
    let slots: Vec<String> = opened.head.slots.iter().map(ToString::to_string).collect();
    json!({
        "number": opened.head.number,
        "previous": opened.head.previous.to_string(),
        "slots": slots,
        "part_0": cbor(&opened.part0),
        "part_1": cbor(&opened.part1.unwrap()),
    })
}

pub fn pack(info: &PackInfo) -> Value {
    let footer = &info.footer;
    let mut position = 40;
    let frames = footer.frames.iter().map(|frame| {
        let row = json!({
            "position": position,
            "sealed_length": frame.sealed_len,
            "expanded_length": frame.plain_len,
            "chunks": frame.chunk_count,
            "bases": frame.base_count,
            "kind": frame.kind.code(),
            "codec": frame.codec.code(),
            "level": frame.level,
        });
        position += u64::from(frame.sealed_len);
        row
    });
    let frames: Vec<Value> = frames.collect();
    let chunks =
        footer.chunks.iter().map(|it| json!({ "id": it.id.to_string(), "length": it.len }));
    let bases = footer.bases.iter().map(|it| {
        json!({ "id": it.id.to_string(), "chunk": it.chunk, "offset": it.offset, "length": it.len })
    });
    json!({
        "epoch": info.epoch,
        "salt": hex(&info.salt),
        "class": footer.class.code(),
        "purpose": footer.purpose.code(),
        "frames": frames,
        "chunks": chunks.collect::<Vec<_>>(),
        "bases": bases.collect::<Vec<_>>(),
        "footer_body": hex(&format::footer::encode(footer).unwrap()),
    })
}

pub fn segment_row(info: &PackInfo) -> Value {
    json!({
        "pack": info.id.to_string(),
        "pack_length": info.pack_len,
        "sealed_footer_length": info.footer_sealed_len,
        "epoch": info.epoch,
        "salt": hex(&info.salt),
    })
}

fn reference(node: &NodeRef) -> Value {
    json!({ "id": node.id.to_string(), "class": node.class.code(), "height": node.height })
}

pub fn node(bytes: &[u8]) -> Value {
    let head = format::node::references(bytes).unwrap();
    let references: Vec<Value> = head.references.iter().map(reference).collect();
    let rows: Vec<Value> = match head.kind {
        NodeKind::Page => format::node::decode_page(bytes).unwrap().iter().map(entry).collect(),
        NodeKind::Table => {
            let table = format::node::decode_table(bytes).unwrap();
            let row = |child: &format::node::Child| {
                let first = String::from_utf8_lossy(child.first.as_bytes());
                json!({ "child": reference(&child.node), "first": first, "entries": child.entries })
            };
            table.children.iter().map(row).collect()
        }
        NodeKind::IdList => {
            let list = format::node::decode_id_list(bytes).unwrap();
            let row = |run: &format::node::Run| json!({ "reference": reference(&run.node), "repeat": run.repeat, "length": run.len });
            list.runs.iter().map(row).collect()
        }
    };
    json!({ "height": head.height, "references": references, "rows": rows })
}

fn time(time: Time) -> Value {
    json!({ "seconds": time.secs, "nanoseconds": time.nanos })
}

fn entry(entry: &Entry) -> Value {
    let owner = &entry.owner;
    let mut row = json!({
        "path": String::from_utf8_lossy(entry.path.as_bytes()),
        "mode": entry.mode,
        "uid": owner.uid,
        "gid": owner.gid,
        "user": String::from_utf8_lossy(&owner.user),
        "group": String::from_utf8_lossy(&owner.group),
        "mtime": time(entry.mtime),
        "ctime": time(entry.ctime),
        "inode": entry.inode,
        "racy": entry.racy,
        "link_group": entry.link_group,
    });
    row["kind"] = json!(match &entry.kind {
        EntryKind::File { .. } => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink { .. } => "symbolic link",
        EntryKind::Fifo => "FIFO",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice { .. } => "character device",
        EntryKind::BlockDevice { .. } => "block device",
    });
    match &entry.kind {
        EntryKind::File { size, content, holes } => {
            row["size"] = json!(size);
            row["content"] = match content {
                Content::Chunks(chunks) => chunks.iter().map(reference).collect(),
                Content::List(list) => reference(list),
            };
            row["holes"] = holes.iter().map(|hole| json!([hole.offset, hole.len])).collect();
        }
        EntryKind::Symlink { target } => row["target"] = json!(String::from_utf8_lossy(target)),
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            row["device"] = json!([major, minor]);
        }
        _ => {}
    }
    row["attributes"] = match &entry.xattrs {
        Xattrs::Inline(list) => list.iter().map(attribute).collect(),
        Xattrs::Stored { len, chunks } => {
            json!({ "length": len, "chunks": chunks.iter().map(reference).collect::<Vec<_>>() })
        }
    };
    row
}

fn attribute(attribute: &Xattr) -> Value {
    json!([String::from_utf8_lossy(&attribute.name), hex(&attribute.value)])
}

/// The plaintexts of the data chunks.
pub fn chunks(golden: &Golden) -> Value {
    let plain = &golden.plain;
    let named = [
        ("noise", &plain.noise, Class::Ordinary),
        ("text", &plain.text, Class::Ordinary),
        ("attributes", &plain.attributes, Class::Ordinary),
        ("edited", &plain.edited, Class::Ordinary),
        ("secret", &plain.secret, Class::S),
    ];
    let row = |(name, bytes, class): &(&str, &Vec<u8>, Class)| {
        let id = golden.keyring().data_id(*class, bytes).unwrap();
        json!({ "chunk": name, "class": class.code(), "id": id.to_string(), "plain": hex(bytes) })
    };
    named.iter().map(row).collect()
}

/// The ids that some plaintexts have as data and as nodes of both classes.
pub fn ids(keyring: &Keyring) -> Value {
    let plains = [&b"a"[..], b"coffer", &[0; 4096]];
    let mut rows = Vec::new();
    for plain in plains {
        for class in [Class::Ordinary, Class::S] {
            rows.push(json!({
                "plain": hex(plain),
                "class": class.code(),
                "data_id": keyring.data_id(class, plain).unwrap().to_string(),
                "metadata_id": keyring.node_id(class, plain).unwrap().to_string(),
            }));
        }
    }
    rows.into()
}
