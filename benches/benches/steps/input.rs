//! What is measured: made up, the same at every run.

use std::sync::Arc;

use coffer_engine::crypto::{Keyring, KeyringParts, signing_public};
use coffer_engine::model::*;

/// Keys of a repository that does not exist.
pub fn keyring() -> Keyring {
    let entropy = Entropy::fixed(b"keys of a benchmark");
    let secret = || Secret32::random(&entropy);
    let purposes = [Purpose::Data, Purpose::Metadata, Purpose::Index, Purpose::Control];
    let keys = purposes.into_iter().map(|purpose| (purpose, secret())).collect();
    let signing_secret = secret();
    let body = RingBody {
        number: 0,
        created_ns: 0,
        epoch: 0,
        epochs: vec![Epoch { number: 0, keys }],
        data_id_key: secret(),
        metadata_id_key: secret(),
        recipients: Vec::new(),
        authors: Vec::new(),
        signing_public: signing_public(&signing_secret),
        signing_secret,
        config: None,
    };
    Keyring::new(&KeyringParts {
        repository: RepositoryId(entropy.bytes()),
        ring: HashedNumber::NONE,
        body: &body,
        secrets: None,
        chunker_secret: &secret(),
    })
}

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
