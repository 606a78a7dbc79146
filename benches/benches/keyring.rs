//! Keys to measure with.

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
