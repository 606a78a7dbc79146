//! The nodes of the golden repository.

use coffer_engine::crypto::Keyring;
use coffer_engine::format::node::{Child, PageBuilder, Run, encode_id_list, encode_table};
use coffer_engine::model::{Class, Entry, NodeRef};

use super::content::{self, Plain, References};

/// A node: the file it is stored as, its bytes, and the reference that names it.
pub struct Node {
    pub file: &'static str,
    pub bytes: Vec<u8>,
    pub node: NodeRef,
}

pub struct Nodes {
    pub references: References,
    pub list: Node,
    pub lists: Node,
    pub page: Node,
    pub last_page: Node,
    pub table: Node,
    pub stream_page: Node,
    /// The manifest of the secrets, of class S, and the lists of its chunks and of its nodes.
    pub secret_page: Node,
    pub secret_data: Node,
    pub secret_nodes: Node,
}

/// A reference to a chunk of data of class ordinary.
fn data(keyring: &Keyring, plain: &[u8]) -> NodeRef {
    data_of(keyring, Class::Ordinary, plain)
}

fn data_of(keyring: &Keyring, class: Class, plain: &[u8]) -> NodeRef {
    NodeRef { id: keyring.data_id(class, plain).unwrap(), class, height: 0 }
}

fn named(keyring: &Keyring, file: &'static str, height: u8, bytes: Vec<u8>) -> Node {
    named_of(keyring, Class::Ordinary, file, height, bytes)
}

fn named_of(
    keyring: &Keyring,
    class: Class,
    file: &'static str,
    height: u8,
    bytes: Vec<u8>,
) -> Node {
    let node = NodeRef { id: keyring.node_id(class, &bytes).unwrap(), class, height };
    Node { file, bytes, node }
}

pub fn page(entries: &[Entry]) -> Vec<u8> {
    let mut page = PageBuilder::default();
    entries.iter().for_each(|entry| page.push(entry).unwrap());
    page.finish().unwrap()
}

impl Nodes {
    pub fn make(keyring: &Keyring, plain: &Plain) -> Self {
        let (noise, text) = (data(keyring, &plain.noise), data(keyring, &plain.text));
        let len = |bytes: &[u8]| bytes.len() as u64;
        let runs = [
            Run { node: noise, repeat: 40, len: len(&plain.noise) },
            Run { node: text, repeat: 1, len: len(&plain.text) },
        ];
        let list = named(keyring, "id-list.node", 1, encode_id_list(1, &runs).unwrap());
        let list_len = 40 * len(&plain.noise) + len(&plain.text);
        let runs = [Run { node: list.node, repeat: 2, len: list_len }];
        let lists = named(keyring, "id-list-2.node", 2, encode_id_list(2, &runs).unwrap());
        let references = References {
            noise,
            text,
            attributes: data(keyring, &plain.attributes),
            edited: data(keyring, &plain.edited),
            list: list.node,
            lists: lists.node,
        };

        let mut entries = content::entries(plain, &references);
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let last = content::last_entry(&references);
        let page_bytes = page(&entries);
        let page_node = named(keyring, "page.node", 0, page_bytes);
        let last_page = named(keyring, "page-2.node", 0, page(std::slice::from_ref(&last)));
        let children = [
            Child {
                node: page_node.node,
                first: entries[0].path.clone(),
                entries: len64(&entries),
            },
            Child { node: last_page.node, first: last.path.clone(), entries: 1 },
        ];
        let table = named(keyring, "table.node", 1, encode_table(1, &children).unwrap());
        let stream = [content::stream_entry(plain, &references)];
        let stream_page = named(keyring, "page-stream.node", 0, page(&stream));
        let [secret_page, secret_data, secret_nodes] = secrets(keyring, &plain.secret);
        Self {
            references,
            list,
            lists,
            page: page_node,
            last_page,
            table,
            stream_page,
            secret_page,
            secret_data,
            secret_nodes,
        }
    }

    /// Those of class ordinary.
    pub fn all(&self) -> [&Node; 8] {
        let Self { list, lists, page, last_page, table, secret_data, secret_nodes, .. } = self;
        // The page of the worked example stands last.
        [list, lists, page, last_page, table, secret_data, secret_nodes, &self.stream_page]
    }
}

/// The page of one secret, and the lists that tell what it needs without the keys of class S.
fn secrets(keyring: &Keyring, plain: &[u8]) -> [Node; 3] {
    let chunk = data_of(keyring, Class::S, plain);
    let bytes = page(&content::secret_entries(plain, chunk));
    let page_len = bytes.len() as u64;
    let page = named_of(keyring, Class::S, "page-secret.node", 0, bytes);
    let list = |file, node, len| {
        let runs = [Run { node, repeat: 1, len }];
        named(keyring, file, 1, encode_id_list(1, &runs).unwrap())
    };
    let data = list("id-list-secret-data.node", chunk, plain.len() as u64);
    let nodes = list("id-list-secret-nodes.node", page.node, page_len);
    [page, data, nodes]
}

fn len64(entries: &[Entry]) -> u64 {
    entries.len() as u64
}
