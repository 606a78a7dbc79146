//! The bytes of a file without its holes.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::buffer::spare_capacity;

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

    /// Reads on to the end of `bytes`, best `len` of them and more if there is room; how many, 0 at
    /// the end of the file.
    ///
    /// # Errors
    /// As the operating system gives them; nothing is added then.
    pub fn append(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<usize> {
        let count = match self.holes.get(self.passed) {
            Some(hole) if hole.offset == self.at => {
                self.at += hole.len;
                self.passed += 1;
                return self.append(bytes, len);
            }
            Some(hole) => {
                let run = usize::try_from(hole.offset - self.at).unwrap_or(usize::MAX);
                self.append_filled(bytes, len.min(run))?
            }
            None => {
                bytes.reserve(len);
                // Not cleared before it is read into, which would cost as much again.
                rustix::io::pread(&self.open.file, spare_capacity(bytes), self.at)?
            }
        };
        self.at += count as u64;
        Ok(count)
    }

    fn append_filled(&self, bytes: &mut Vec<u8>, len: usize) -> io::Result<usize> {
        let start = bytes.len();
        bytes.resize(start + len, 0);
        let read = self.open.file.read_at(&mut bytes[start..], self.at);
        bytes.truncate(start + read.as_ref().copied().unwrap_or_default());
        read
    }
}

/// The bytes of a part of a file, holes left out; fewer if the file ends before.
///
/// # Errors
/// As the operating system gives them.
pub fn read_range(open: &OpenFile, holes: &[Hole], range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut at = range.start;
    for hole in holes.iter().filter(|hole| hole.offset + hole.len > range.start) {
        read_run(open, at..hole.offset.min(range.end), &mut bytes)?;
        at = at.max(hole.offset + hole.len);
    }
    read_run(open, at..range.end, &mut bytes)?;
    Ok(bytes)
}

/// Adds the bytes of `run`, which may be empty.
fn read_run(open: &OpenFile, run: Range<u64>, bytes: &mut Vec<u8>) -> io::Result<()> {
    let start = bytes.len();
    let len = usize::try_from(run.end.saturating_sub(run.start)).unwrap_or(usize::MAX);
    bytes.resize(start + len, 0);
    let mut filled = 0;
    while filled < len {
        let buffer = &mut bytes[start + filled..];
        match open.file.read_at(buffer, run.start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(start + filled);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::stat::Stat;
    use super::*;

    /// What a reader appends, asked for `len` bytes at a time, into room for `room` more, and the holes it
    /// has passed.
    fn appended(open: &OpenFile, holes: &[Hole], len: usize, room: usize) -> (Vec<u8>, usize) {
        let (mut reader, mut bytes) = (DataReader::new(open, holes), vec![7; 3]);
        loop {
            bytes.reserve_exact(room);
            if reader.append(&mut bytes, len).unwrap() == 0 {
                return (bytes.split_off(3), reader.passed().len());
            }
        }
    }

    #[test]
    fn a_reader_gives_every_byte_once_however_much_room_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..100).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let open = OpenFile { stat: Stat::of(&file).unwrap(), file };
        let hole = |offset, len| Hole { offset, len };
        let all: [&[Hole]; 5] =
            [&[], &[hole(0, 10)], &[hole(10, 10), hole(50, 30)], &[hole(90, 10)], &[hole(0, 100)]];
        for holes in all {
            let is_kept = |at: &usize| {
                let at = *at as u64;
                !holes.iter().any(|hole| (hole.offset..hole.offset + hole.len).contains(&at))
            };
            let wanted: Vec<u8> = (0..100).filter(is_kept).map(|at| at as u8).collect();
            for len in [1, 7, 50, 100, 101, 1000] {
                for room in [0, 1, 100, 1000] {
                    let found = appended(&open, holes, len, room);
                    assert_eq!(found, (wanted.clone(), holes.len()), "{holes:?}, {len}, {room}");
                }
            }
        }
        // Cut within a hole, and before one: the holes behind the end were not passed.
        for (len, count, passed) in [(60, 40, 2), (30, 20, 1), (5, 5, 0)] {
            File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
            let found = appended(&open, all[2], 1000, 0);
            assert_eq!((found.0.len(), found.1), (count, passed), "{len}");
        }
    }

    #[test]
    fn a_part_of_a_file_is_its_bytes_without_the_holes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..100).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(path).unwrap();
        let open = OpenFile { stat: Stat::of(&file).unwrap(), file };
        let holes = [Hole { offset: 10, len: 10 }, Hole { offset: 50, len: 30 }];
        let wanted = |range: Range<u64>| -> Vec<u8> {
            let hole = |at: &u64| holes.iter().any(|h| (h.offset..h.offset + h.len).contains(at));
            range.filter(|at| *at < 100 && !hole(at)).map(|at| at as u8).collect()
        };
        for range in [0..100, 0..5, 5..15, 12..18, 15..60, 10..20, 20..50, 55..120, 90..300] {
            let read = read_range(&open, &holes, range.clone()).unwrap();
            assert_eq!(read, wanted(range.clone()), "{range:?}");
        }
        assert_eq!(read_range(&open, &[], 3..7).unwrap(), [3, 4, 5, 6]);
    }
}
