//! A bounded reader of little-endian fields; every error names the field it was for.

use super::FormatError;

type Result<T> = std::result::Result<T, FormatError>;

/// Reads fields one after the other from bytes in memory, and never past their end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(FormatError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the next `N` bytes.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or(FormatError::Truncated { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// `Truncated` at the end.
    pub fn u8(&mut self, field: &'static str) -> Result<u8> {
        self.array(field).map(u8::from_le_bytes)
    }

    /// Reads two bytes, little-endian.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Reads four bytes, little-endian.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn u32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Reads eight bytes, little-endian.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn u64(&mut self, field: &'static str) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// Reads unsigned LEB128 in its shortest form.
    ///
    /// # Errors
    /// `Truncated` when the bytes end within it, `Invalid` when a shorter form exists, `Overflow` when
    /// the value is 2^64 or more.
    pub fn varint(&mut self, field: &'static str) -> Result<u64> {
        let first = self.u8(field)?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7_u32..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(FormatError::Overflow { field });
            }
            value |= bits.wrapping_shl(shift);
            if byte < 0x80 {
                return if byte == 0 {
                    Err(FormatError::Invalid { field, why: "not in its shortest form" })
                } else {
                    Ok(value)
                };
            }
        }
        Err(FormatError::Overflow { field })
    }

    /// Reads a signed number: zigzag, then as [`Self::varint`].
    ///
    /// # Errors
    /// As [`Self::varint`].
    pub fn svarint(&mut self, field: &'static str) -> Result<i64> {
        let zigzag = self.varint(field)?;
        Ok((zigzag >> 1).cast_signed() ^ (zigzag & 1).cast_signed().wrapping_neg())
    }

    /// Reads `len` reserved bytes.
    ///
    /// # Errors
    /// `Reserved` when one is not zero, `Truncated` when there are fewer.
    pub fn reserved(&mut self, len: usize, field: &'static str) -> Result<()> {
        if self.bytes(len, field)?.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(FormatError::Reserved { field })
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `Trailing` when bytes are left over.
    pub fn finish(self, what: &'static str) -> Result<()> {
        match u64::try_from(self.rest.len()) {
            Ok(0) => Ok(()),
            Ok(count) => Err(FormatError::Trailing { what, count }),
            Err(_) => Err(FormatError::Overflow { field: what }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_varint(bytes: &[u8], expected: Result<u64>) {
        assert_eq!(Reader::new(bytes).varint("x"), expected, "{bytes:x?}");
    }

    #[test]
    fn varints_are_read_in_their_shortest_form_only() {
        let field = "x";
        check_varint(&[0], Ok(0));
        check_varint(&[0x7f], Ok(127));
        check_varint(&[0x80, 1], Ok(128));
        check_varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(u64::MAX));
        check_varint(
            &[0x80, 0],
            Err(FormatError::Invalid { field, why: "not in its shortest form" }),
        );
        check_varint(
            &[0xff, 0x80, 0],
            Err(FormatError::Invalid { field, why: "not in its shortest form" }),
        );
        check_varint(
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            Err(FormatError::Invalid { field, why: "not in its shortest form" }),
        );
        check_varint(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            Err(FormatError::Overflow { field }),
        );
        check_varint(&[0x80; 11], Err(FormatError::Overflow { field }));
        check_varint(&[0x80], Err(FormatError::Truncated { field }));
        check_varint(&[], Err(FormatError::Truncated { field }));
    }

    #[test]
    fn signed_varints_are_zigzag() {
        for (bytes, value) in [(&[0][..], 0), (&[1], -1), (&[2], 1), (&[3], -2)] {
            assert_eq!(Reader::new(bytes).svarint("x"), Ok(value));
        }
        let lowest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&lowest).svarint("x"), Ok(i64::MIN));
    }

    #[test]
    fn nothing_is_read_past_the_end_or_left_over() {
        let mut reader = Reader::new(&[1, 2, 0, 0, 9]);
        assert_eq!(reader.u16("a"), Ok(0x201));
        assert_eq!(reader.u32("b"), Err(FormatError::Truncated { field: "b" }));
        assert_eq!(reader.reserved(2, "c"), Ok(()));
        assert_eq!(reader.clone().reserved(1, "d"), Err(FormatError::Reserved { field: "d" }));
        assert_eq!(reader.finish("e"), Err(FormatError::Trailing { what: "e", count: 1 }));
    }
}
