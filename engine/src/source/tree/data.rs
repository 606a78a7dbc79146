//! The bytes of a file without its holes.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::open::OpenFile;
use crate::model::Hole;

/// Reads a file from its start to its end, leaving out the holes given.
#[derive(Debug)]
pub struct DataReader<'f> {
    open: &'f OpenFile,
    holes: &'f [Hole],
    at: u64,
    passed: usize,
}

impl<'f> DataReader<'f> {
    /// A reader over `open`; `holes` ascend and do not touch.
    #[must_use]
    pub fn new(open: &'f OpenFile, holes: &'f [Hole]) -> Self {
        Self { open, holes, at: 0, passed: 0 }
    }

    /// The holes left out so far: fewer than all at the end of a file that has shrunk.
    #[must_use]
    pub fn passed(&self) -> &'f [Hole] {
        &self.holes[..self.passed]
    }
}

impl Read for DataReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut len = buffer.len();
        if let Some(hole) = self.holes.get(self.passed) {
            if hole.offset == self.at {
                self.at += hole.len;
                self.passed += 1;
                return self.read(buffer);
            }
            let run = usize::try_from(hole.offset - self.at).unwrap_or(usize::MAX);
            len = len.min(run);
        }
        let count = self.open.file.read_at(&mut buffer[..len], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
