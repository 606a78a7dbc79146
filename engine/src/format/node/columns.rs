//! Columns: runs of values of one field, each behind its length.

use super::super::reader::Reader;
use super::{FormatError, Result};

/// A column being read.
#[derive(Debug)]
pub(super) struct Column<'a> {
    field: &'static str,
    reader: Reader<'a>,
}

impl<'a> Column<'a> {
    /// Takes the next column of a node.
    pub fn open(node: &mut Reader<'a>, field: &'static str) -> Result<Self> {
        let len = to_usize(node.u32(field)?.into(), field)?;
        Ok(Self { field, reader: Reader::new(node.bytes(len, field)?) })
    }

    pub fn u8(&mut self) -> Result<u8> {
        self.reader.u8(self.field)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.reader.u64(self.field)
    }

    pub fn varint(&mut self) -> Result<u64> {
        self.reader.varint(self.field)
    }

    pub fn varint_u32(&mut self) -> Result<u32> {
        u32::try_from(self.varint()?).map_err(|_| FormatError::Overflow { field: self.field })
    }

    pub fn svarint(&mut self) -> Result<i64> {
        self.reader.svarint(self.field)
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        self.reader.bytes(len, self.field)
    }

    /// A length of at most `max`, and that many bytes.
    pub fn run(&mut self, max: usize) -> Result<&'a [u8]> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(fits) if fits <= max => self.bytes(fits),
            _ => Err(FormatError::Excess { field: self.field, count: len }),
        }
    }

    /// A count of at most `max`.
    pub fn count(&mut self, max: usize) -> Result<usize> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(fits) if fits <= max => Ok(fits),
            _ => Err(FormatError::Excess { field: self.field, count }),
        }
    }

    pub fn bad<T>(&self) -> Result<T> {
        Err(FormatError::Bad { field: self.field })
    }

    /// Refuses left-over bytes.
    pub fn finish(self) -> Result<()> {
        self.reader.finish(self.field)
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

pub(super) fn put_svarint(out: &mut Vec<u8>, value: i64) {
    let sign = (value >> 63).cast_unsigned();
    put_varint(out, value.cast_unsigned().wrapping_shl(1) ^ sign);
}

/// A length as varint, and the bytes.
pub(super) fn put_run(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, to_u64(bytes.len()));
    out.extend_from_slice(bytes);
}

pub(super) fn put_column(out: &mut Vec<u8>, field: &'static str, bytes: &[u8]) -> Result<()> {
    put_u32(out, field, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

pub(super) fn put_u32(out: &mut Vec<u8>, field: &'static str, number: usize) -> Result<()> {
    let number = u32::try_from(number).map_err(|_| FormatError::Overflow { field })?;
    out.extend_from_slice(&number.to_le_bytes());
    Ok(())
}

/// Bytes of `value` as varint.
pub(super) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS.saturating_sub(value.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(7)).unwrap_or(usize::MAX)
}

/// The same number; a length in memory always fits.
pub(super) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

pub(super) fn to_usize(number: u64, field: &'static str) -> Result<usize> {
    usize::try_from(number).map_err(|_| FormatError::Overflow { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_survive_writing_and_reading() {
        let edges = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, !(1 << bit)]);
        for value in edges {
            let (mut plain, mut signed) = (Vec::new(), Vec::new());
            put_varint(&mut plain, value);
            assert_eq!(plain.len(), varint_len(value));
            assert_eq!(Reader::new(&plain).varint("x"), Ok(value));
            put_svarint(&mut signed, value.cast_signed());
            assert_eq!(Reader::new(&signed).svarint("x"), Ok(value.cast_signed()));
        }
    }
}
