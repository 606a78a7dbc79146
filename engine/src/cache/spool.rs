//! A nameless file for bytes that memory has no room for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Places of one length for what vanishes with the process; sealed by its caller. A place that was
/// taken is used again, so the file is never longer than what waited in it at once.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    slot_len: usize,
    /// Places of the file, used or not.
    slot_count: u64,
    free: Vec<u64>,
}

impl SpoolFile {
    /// Makes a file without a name in `folder`, or in the system's temporary folder. What is put into
    /// it has at most `slot_len` bytes.
    ///
    /// # Errors
    /// When the system does not give one.
    pub fn new(folder: Option<&Path>, slot_len: usize) -> io::Result<Self> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder)?,
            None => tempfile::tempfile()?,
        };
        Ok(Self { file, slot_len, slot_count: 0, free: Vec::new() })
    }

    /// Writes `bytes`; returns the number of their place.
    ///
    /// # Errors
    /// When there are too many bytes for a place, when the file system is full, or as the system says.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        if bytes.len() > self.slot_len {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too long for the spool"));
        }
        let slot = self.free.last().copied().unwrap_or(self.slot_count);
        self.file.write_all_at(bytes, self.start_of(slot))?;
        if self.free.pop().is_none() {
            self.slot_count += 1;
        }
        Ok(slot)
    }

    /// Reads `len` bytes of a place, which is free from then on.
    ///
    /// # Errors
    /// As the system says.
    pub fn take(&mut self, slot: u64, len: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(slot, len)?;
        self.free.push(slot);
        if self.free.len() as u64 == self.slot_count {
            // Nothing waits: the disk gets its room back.
            self.free.clear();
            self.slot_count = 0;
            self.file.set_len(0)?;
        }
        Ok(bytes)
    }

    /// Reads `len` bytes of a place, which stays taken.
    ///
    /// # Errors
    /// As the system says.
    pub fn read(&self, slot: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, self.start_of(slot))?;
        Ok(bytes)
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// As the system says.
    #[cfg(test)]
    pub fn file_len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn start_of(&self, slot: u64) -> u64 {
        slot.saturating_mul(self.slot_len as u64)
    }
}
