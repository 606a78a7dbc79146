//! Tells of ordinary files that look like secrets, a few in a run.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Entry, EntryKind};
use crate::observe::{Event, Observer};

/// Files named in a run; the rest are counted.
const NAMED_COUNT_MAX: u64 = 3;
/// Bytes at the start of a file that are looked at.
const HEAD_LEN: usize = 128;

/// Names of files that hold secrets in nearly every program that makes them, in lower case.
const NAMES: &[&[u8]] = &[
    b".env",
    b".git-credentials",
    b".htpasswd",
    b".netrc",
    b".pgpass",
    b".vault-token",
    b"credentials",
    b"credentials.json",
    b"id_dsa",
    b"id_ecdsa",
    b"id_ed25519",
    b"id_rsa",
    b"master.key",
    b"secrets.json",
    b"secrets.yaml",
    b"secrets.yml",
];
const ENDINGS: &[&[u8]] = &[b".key", b".kdbx", b".p12", b".pfx", b".keytab", b".jks"];

/// What one run has found so far.
pub(super) struct Scan<'o> {
    observer: &'o dyn Observer,
    is_on: bool,
    count: AtomicU64,
}

impl<'o> Scan<'o> {
    pub(super) fn new(observer: &'o dyn Observer, is_on: bool) -> Self {
        Self { observer, is_on, count: AtomicU64::new(0) }
    }

    pub(super) fn observer(&self) -> &'o dyn Observer {
        self.observer
    }

    /// Looks at the name of a new or changed entry.
    pub(super) fn look_at_name(&self, entry: &Entry) {
        if self.is_on && matches!(entry.kind, EntryKind::File { .. }) && is_named(entry) {
            self.tell(entry, "its name");
        }
    }

    /// Looks at the first bytes of a file that was read.
    pub(super) fn look_at_bytes(&self, entry: &Entry, bytes: &[u8]) {
        let head = bytes.get(..HEAD_LEN).unwrap_or(bytes);
        if self.is_on && is_key(head) && !is_named(entry) {
            self.tell(entry, "a private key");
        }
    }

    /// Tells how many there were, if not all were named.
    pub(super) fn finish(&self) {
        let count = self.count.load(Ordering::Relaxed);
        let more = count.saturating_sub(NAMED_COUNT_MAX);
        if more > 0 {
            let what = format!(
                "{count} files look like secrets, {more} of them not named here; --secrets PATH stores \
                 a file or folder under keys of its own, --no-secret-scan ends this notice"
            );
            self.observer.event(Event::Note(&what));
        }
    }

    fn tell(&self, entry: &Entry, why: &str) {
        if self.count.fetch_add(1, Ordering::Relaxed) < NAMED_COUNT_MAX {
            let path = String::from_utf8_lossy(entry.path.as_bytes());
            let what = format!("/{path} looks like a secret ({why}): consider --secrets PATH");
            self.observer.event(Event::Note(&what));
        }
    }
}

fn is_named(entry: &Entry) -> bool {
    let name = entry.path.name().to_ascii_lowercase();
    NAMES.contains(&name.as_slice())
        || name.starts_with(b".env.") && !name.ends_with(b".example")
        || ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// True if a file begins as the private keys of PEM, OpenSSH, PuTTY and age do.
fn is_key(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let first = text.trim_start().lines().next().unwrap_or_default();
    let is_pem = first.starts_with("-----BEGIN ") && first.contains("PRIVATE KEY");
    is_pem
        || first.starts_with("PuTTY-User-Key-File-")
        || first.starts_with("AGE-SECRET-KEY-1")
        || first.starts_with("# created: ") && text.contains("# public key: age1")
}

#[cfg(test)]
mod tests {
    use super::is_key;

    #[test]
    fn private_keys_are_known_by_their_first_bytes_and_public_ones_are_none() {
        for head in [
            "-----BEGIN OPENSSH PRIVATE KEY-----\n",
            "\n-----BEGIN PRIVATE KEY-----",
            "PuTTY-User-Key-File-3: x",
        ] {
            assert!(is_key(head.as_bytes()), "{head}");
        }
        for head in
            ["-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nPRIVATE KEY", "", "x"]
        {
            assert!(!is_key(head.as_bytes()), "{head}");
        }
    }
}
