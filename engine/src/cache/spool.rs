//! A nameless file for bytes that memory has no room for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that vanish with the process; sealed by its caller.
#[derive(Debug)]
pub struct SpoolFile {
    file: File,
    len: u64,
}

impl SpoolFile {
    /// Makes a file without a name in `folder`, or in the system's temporary folder.
    ///
    /// # Errors
    /// When the system does not give one.
    pub fn new(folder: Option<&Path>) -> io::Result<Self> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder)?,
            None => tempfile::tempfile()?,
        };
        Ok(Self { file, len: 0 })
    }

    /// Appends `bytes`; returns where they begin.
    ///
    /// # Errors
    /// When the file system is full, or as the system says.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.len;
        self.file.write_all_at(bytes, start)?;
        self.len = start.saturating_add(bytes.len() as u64);
        Ok(start)
    }

    /// Reads exactly `len` bytes at `start`.
    ///
    /// # Errors
    /// As the system says.
    pub fn read(&self, start: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    /// Begins anew: what was appended is not needed any more.
    ///
    /// # Errors
    /// As the system says.
    pub fn clear(&mut self) -> io::Result<()> {
        self.len = 0;
        self.file.set_len(0)
    }
}
