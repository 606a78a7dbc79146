//! Fixed layouts joined from parts, lengths, padding.

use super::CryptoError;

/// `parts` end to end in an array of `N` bytes, filled with zeros; what does not fit is cut.
pub(super) fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    out
}

/// A length in memory as the format's integer.
pub(super) fn len64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Splits the first `N` bytes off, and moves on.
pub(super) fn take<const N: usize>(
    bytes: &mut &[u8],
    what: &'static str,
) -> Result<[u8; N], CryptoError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(CryptoError::Length { what })?;
    *bytes = rest;
    Ok(*first)
}

/// The length a sealed object or pack of `len` bytes is stored with: Padmé up to 1 MiB, at least
/// 4 KiB; then a multiple of 64 KiB.
#[must_use]
pub fn padded_len(len: u64) -> u64 {
    const SMALL: u64 = 4096;
    if len <= SMALL {
        return SMALL;
    }
    let below = if len <= 1 << 20 {
        let exponent = len.ilog2();
        let kept = exponent.ilog2().saturating_add(1);
        1_u64.checked_shl(exponent.saturating_sub(kept)).unwrap_or(1).saturating_sub(1)
    } else {
        0xffff
    };
    len.saturating_add(below) & !below
}

/// `u64 length ‖ body ‖ zeros`, `plain_len` bytes in all; made to be sealed in place.
pub(super) fn padded_plain(body: &[u8], plain_len: u64) -> Result<Vec<u8>, CryptoError> {
    let what = "the body";
    let plain_len = usize::try_from(plain_len).map_err(|_| CryptoError::Length { what })?;
    let mut plain = Vec::with_capacity(plain_len);
    plain.extend_from_slice(&len64(body).to_le_bytes());
    plain.extend_from_slice(body);
    if plain.len() > plain_len {
        return Err(CryptoError::Length { what });
    }
    plain.resize(plain_len, 0);
    Ok(plain)
}

/// The body of a padded plaintext, its length and zeros checked.
pub(super) fn body_of<'a>(
    mut plain: &'a [u8],
    what: &'static str,
) -> Result<&'a [u8], CryptoError> {
    let len = u64::from_le_bytes(take(&mut plain, what)?);
    let len = usize::try_from(len).map_err(|_| CryptoError::Padding { what })?;
    let (body, zeros) = plain.split_at_checked(len).ok_or(CryptoError::Padding { what })?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(CryptoError::Padding { what });
    }
    Ok(body)
}

/// The body of a padded plaintext, cut out in place.
pub(super) fn into_body(mut plain: Vec<u8>, what: &'static str) -> Result<Vec<u8>, CryptoError> {
    let len = body_of(&plain, what)?.len();
    plain.drain(..8);
    plain.truncate(len);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_follows_padme_and_then_64_kib() {
        let check = |len, padded| assert_eq!(padded_len(len), padded, "{len}");
        check(0, 4096);
        check(4096, 4096);
        check(4097, 4352);
        check(9000, 9216);
        check(1 << 20, 1 << 20);
        check((1 << 20) + 1, (1 << 20) + 65536);
        for len in 0..100_000 {
            assert!(padded_len(len) >= len && padded_len(padded_len(len)) == padded_len(len));
        }
    }

    #[test]
    fn a_body_with_a_false_length_or_dirty_zeros_is_refused() {
        let plain = padded_plain(b"body", 20).unwrap();
        assert_eq!(body_of(&plain, "x").unwrap(), b"body");
        let mut dirty = plain.clone();
        dirty[19] = 1;
        assert!(body_of(&dirty, "x").is_err());
        let mut long = plain.clone();
        long[0] = 13;
        assert!(body_of(&long, "x").is_err());
        long[7] = 0xff;
        assert!(body_of(&long, "x").is_err());
        assert!(padded_plain(b"body", 11).is_err());
    }
}
