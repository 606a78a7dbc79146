//! The signed bodies of the golden repository.

use std::collections::BTreeMap;

use coffer_engine::crypto::{Author, object_hash};
use coffer_engine::model::{
    Close, Fate, FateKind, Features, Forget, ForgottenObject, Generation, HashedNumber, HostId,
    NodeRef, ObjectHash, ParentRef, Record, RecordBody, Snapshot, SnapshotRef, SnapshotState,
    Source, SourceStatus, Totals,
};

use super::golden::{AUTHOR, CHECKPOINT, FORGOTTEN, Golden, SID, clock, deleted_pack};

const NONE: ObjectHash = ObjectHash([0; 32]);

fn author() -> HostId {
    Author::from_bytes(&AUTHOR).host()
}

fn source(kind: &str, name: &str, root: Option<NodeRef>, (entries, bytes): (u64, u64)) -> Source {
    let status = if root.is_some() { SourceStatus::Complete } else { SourceStatus::Failed };
    Source {
        kind: kind.to_owned(),
        name: name.to_owned(),
        roots: Vec::new(),
        status,
        message: root.is_none().then(|| "permission denied".to_owned()),
        errors: 0,
        root,
        entries,
        bytes,
        profile: if kind == "tree" { "tree" } else { "dump" }.to_owned(),
        parent: None,
        facts: BTreeMap::new(),
        s_data_ids: None,
        s_node_ids: None,
    }
}

/// A checkpoint: nothing is whole yet, but chunks of a file in progress are kept.
pub fn checkpoint(golden: &Golden) -> Snapshot {
    let references = &golden.nodes.references;
    Snapshot {
        sid: CHECKPOINT,
        seq: 3,
        generation: 0,
        state: SnapshotState::Incomplete,
        host: "golden".to_owned(),
        job: "main".to_owned(),
        tags: Vec::new(),
        started_ns: clock().now_ns(),
        finished_ns: clock().now_ns() + 5_000_000_000,
        tool: "coffer vectors".to_owned(),
        author: author(),
        ring: golden.keyring().ring(),
        head: HashedNumber::NONE,
        bad_seen: Vec::new(),
        totals: Totals::default(),
        sources: Vec::new(),
        pending: vec![references.noise, references.list],
    }
}

/// A whole tree, a whole stream, a source that failed, and secrets.
pub fn snapshot(golden: &Golden, head: HashedNumber, parent: SnapshotRef) -> Snapshot {
    let parent = ParentRef { sid: parent.sid, hash: parent.hash };
    let (tree, stream) = (golden.nodes.table.node, golden.nodes.stream_page.node);
    let (plain, secret) = (&golden.plain, golden.nodes.secret_page.node);
    let stream_len = (plain.text.len() + plain.edited.len()) as u64;
    let facts = BTreeMap::from([("rows".to_owned(), "60".to_owned())]);
    Snapshot {
        sid: SID,
        seq: 0,
        generation: 1,
        state: SnapshotState::Partial,
        tags: vec!["daily".to_owned(), "größer".to_owned()],
        head,
        bad_seen: vec![ObjectHash(object_hash(b"coffer vectors: a bad-pack record"))],
        totals: Totals {
            entries: 16,
            bytes: tree_bytes(golden) + stream_len,
            files_new: 9,
            files_changed: 1,
            files_unmodified: 0,
            data_added: 10_000,
            data_stored: 3000,
        },
        sources: vec![
            Source {
                roots: vec![b"/srv".to_vec()],
                errors: 1,
                parent: Some(parent),
                ..source("tree", "files", Some(tree), (15, tree_bytes(golden)))
            },
            Source { facts, ..source("stream", "dump", Some(stream), (1, stream_len)) },
            source("stream", "other", None, (0, 0)),
            Source {
                profile: "tree".to_owned(),
                s_data_ids: Some(golden.nodes.secret_data.node),
                s_node_ids: Some(golden.nodes.secret_nodes.node),
                ..source("secrets", "secrets", Some(secret), (2, plain.secret.len() as u64))
            },
        ],
        pending: Vec::new(),
        ..checkpoint(golden)
    }
}

/// The sizes of the tree's files summed.
fn tree_bytes(golden: &Golden) -> u64 {
    let pages = [&golden.nodes.page, &golden.nodes.last_page];
    let entries = pages.map(|page| coffer_engine::format::node::decode_page(&page.bytes).unwrap());
    entries.iter().flatten().map(coffer_engine::model::Entry::file_size).sum()
}

pub fn forget(golden: &Golden) -> Forget {
    let hash = ObjectHash(object_hash(b"coffer vectors: forgotten snapshot"));
    Forget {
        sid: FORGOTTEN,
        k: 0,
        undo: false,
        objects: vec![ForgottenObject { generation: 0, hash }],
        author: author(),
        created_ns: clock().now_ns(),
        ring: golden.keyring().ring(),
    }
}

pub fn generation(golden: &Golden) -> Generation {
    Generation {
        number: 1,
        previous: NONE,
        condemned: vec![deleted_pack()],
        features: Features::default(),
        author: author(),
        created_ns: clock().now_ns(),
        ring: golden.keyring().ring(),
    }
}

pub fn close(golden: &Golden, generation: ObjectHash, valid: SnapshotRef) -> Close {
    Close {
        number: 1,
        generation,
        full: false,
        previous: NONE,
        valid_add: vec![valid],
        valid_drop: Vec::new(),
        deleted_add: vec![deleted_pack()],
        deleted_drop: Vec::new(),
        forgets: vec![(FORGOTTEN, 0)],
        author: author(),
        created_ns: clock().now_ns(),
        ring: golden.keyring().ring(),
    }
}

pub fn fate(golden: &Golden, close: ObjectHash, fate: FateKind) -> Fate {
    let (author, ring) = (author(), golden.keyring().ring());
    Fate { number: 1, close, fate, author, created_ns: clock().now_ns(), ring }
}

pub fn record(golden: &Golden, body: RecordBody) -> Record {
    Record {
        created_ns: clock().now_ns(),
        author: author(),
        ring: golden.keyring().ring(),
        roots: vec![golden.nodes.references.noise, golden.nodes.references.list],
        manifests: vec![golden.nodes.table.node],
        body,
    }
}
