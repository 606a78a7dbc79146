//! Typed names of things, printed and parsed as lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes of the name.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                parse_hex::<$len>(text).map(Self).ok_or(())
            }
        }
    };
}

id!(
    /// Keyed hash of a chunk's plaintext (data) or of a node's bytes (metadata).
    ChunkId, 32
);
id!(
    /// Hash of a pack's stored bytes.
    PackId, 32
);
id!(
    /// Hash of an index segment's stored bytes.
    SegmentId, 32
);
id!(
    /// Hash of the stored bytes of any other object.
    ObjectHash, 32
);
id!(
    /// Random name of one run's recovery point; what users see and type.
    SnapshotId, 16
);
id!(
    /// Random name of a key slot.
    SlotId, 16
);
id!(
    /// Random name of a repository.
    RepositoryId, 16
);
id!(
    /// Random name of a host that writes to repositories.
    HostId, 16
);

/// Parses exactly `2 * N` lower-case hexadecimal digits.
#[must_use]
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N.checked_mul(2)? {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (digit(*pair.first()?)?, digit(*pair.get(1)?)?);
        *byte = high << 4 | low;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_printing_and_parsing() {
        let id = SnapshotId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("0G".repeat(16).parse::<SnapshotId>(), Err(()));
        assert_eq!("AB".repeat(16).parse::<SnapshotId>(), Err(()));
        assert_eq!("ab".repeat(15).parse::<SnapshotId>(), Err(()));
    }
}
