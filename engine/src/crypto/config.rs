//! The sealed body of a config: under the control key of epoch 0, with the clear head beside it.

use super::object::Envelope;
use super::{CryptoError, Place};
use crate::model::{Entropy, ObjectKind, Purpose, RepositoryId, Secret32};

fn envelope(repository: RepositoryId, head: &[u8; 64]) -> Envelope<'_> {
    let (kind, purpose) = (ObjectKind::Config, Purpose::Control);
    Envelope { repository, kind, purpose, place: Place::none(), more: head }
}

/// Seals the body of a config.
///
/// # Errors
/// If the body is too long for memory.
pub fn seal_config(
    entropy: &Entropy,
    repository: RepositoryId,
    control_key: &Secret32,
    head: &[u8; 64],
    body: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    envelope(repository, head).seal(entropy, (0, control_key), body)
}

/// Opens the body of a config.
///
/// # Errors
/// If it or its head was damaged, or it is of another epoch than 0.
pub fn open_config(
    repository: RepositoryId,
    control_key: &Secret32,
    head: &[u8; 64],
    sealed: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let key_of = |epoch| {
        if epoch == 0 { Ok(control_key) } else { Err(CryptoError::UnknownEpoch { epoch }) }
    };
    envelope(repository, head).open(key_of, sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_body_opens_only_with_its_head() {
        let entropy = Entropy::fixed(b"config");
        let (repository, key) = (RepositoryId([1; 16]), Secret32::random(&entropy));
        let sealed = seal_config(&entropy, repository, &key, &[5; 64], b"body").unwrap();
        assert_eq!(open_config(repository, &key, &[5; 64], &sealed).unwrap(), b"body");
        for at in 0..64 {
            let mut head = [5; 64];
            head[at] ^= 1;
            assert!(open_config(repository, &key, &head, &sealed).is_err(), "byte {at}");
        }
        let mut epoch = sealed.clone();
        epoch[4] = 1;
        let refused = open_config(repository, &key, &[5; 64], &epoch).unwrap_err();
        assert_eq!(refused, CryptoError::UnknownEpoch { epoch: 1 });
    }
}
