//! Keyrings for tests of any module.

use super::{Author, Keyring, KeyringParts, signing_public};
use crate::model::{
    EnrolledAuthor, Entropy, Epoch, HashedNumber, ObjectHash, Purpose, RepositoryId, RingBody,
    RingSecrets, Secret32,
};

/// Fresh keys of class ordinary with one epoch, and of class S.
pub fn bodies(entropy: &Entropy) -> (RingBody, RingSecrets) {
    let signing_secret = Secret32::random(entropy);
    let epoch = |purposes: &[Purpose]| Epoch {
        number: 0,
        keys: purposes.iter().map(|purpose| (*purpose, Secret32::random(entropy))).collect(),
    };
    let all = [Purpose::Data, Purpose::Metadata, Purpose::Index, Purpose::Control];
    let body = RingBody {
        number: 0,
        created_ns: 7,
        epoch: 0,
        epochs: vec![epoch(&all)],
        data_id_key: Secret32::random(entropy),
        metadata_id_key: Secret32::random(entropy),
        recipients: Vec::new(),
        authors: Vec::new(),
        signing_public: signing_public(&signing_secret),
        signing_secret,
        config: None,
    };
    let secrets = RingSecrets {
        number: 0,
        epochs: vec![epoch(&all[..2])],
        data_id_key: Secret32::random(entropy),
        metadata_id_key: Secret32::random(entropy),
    };
    (body, secrets)
}

/// A keyring with keys of both classes, in which `authors` are enrolled.
pub fn keyring(entropy: &Entropy, authors: &[&Author]) -> Keyring {
    let (mut body, secrets) = bodies(entropy);
    body.authors = authors
        .iter()
        .map(|it| EnrolledAuthor { host: it.host(), name: "host".into(), public: it.public() })
        .collect();
    Keyring::new(&KeyringParts {
        repository: RepositoryId(entropy.bytes()),
        ring: HashedNumber { number: 0, hash: ObjectHash(entropy.bytes()) },
        body: &body,
        secrets: Some(&secrets),
        chunker_secret: &Secret32::random(entropy),
    })
}
