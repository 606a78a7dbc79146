//! Pages of databases that wait on disk in the process that reads them, sealed.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::cache::SpoolFile;
use crate::crypto::SpoolKey;
use crate::model::Entropy;
use crate::source::sqlite::{self, IMAGE_BLOCK_LEN, Shelf};

/// Bytes that a block grows by when it is sealed, and more.
const SEAL_LEN_MAX: usize = 64;

/// Answers requests of [`sqlite::Client`] until standard input ends: the work of the process that
/// reads databases.
///
/// # Errors
/// When the client has gone.
pub fn serve_sqlite() -> io::Result<()> {
    sqlite::serve(&shelf)
}

/// Blocks in a file without a name, sealed with a key that is nowhere but in memory.
fn shelf(folder: Option<&Path>) -> io::Result<Shelf> {
    let key = Rc::new(SpoolKey::draw(&Entropy::system()));
    let file = SpoolFile::new(folder, IMAGE_BLOCK_LEN + SEAL_LEN_MAX)?;
    // The file gives places in order, and what is sealed is of one length.
    let blocks = Rc::new(RefCell::new((file, 0, 0)));
    let (put_key, put_blocks) = (Rc::clone(&key), Rc::clone(&blocks));
    Ok(Shelf {
        put: Box::new(move |block| {
            let (file, count, sealed_len) = &mut *put_blocks.borrow_mut();
            let sealed = put_key.seal(*count, block).map_err(io::Error::other)?;
            (*count, *sealed_len) = (file.put(&sealed)? + 1, sealed.len());
            Ok(())
        }),
        get: Box::new(move |number| {
            let (file, _, sealed_len) = &*blocks.borrow();
            key.open(number, &file.read(number, *sealed_len)?).map_err(io::Error::other)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_in_any_order_and_as_often_as_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = shelf(Some(folder.path())).unwrap();
        let block = |number: u8| vec![number; IMAGE_BLOCK_LEN];
        for number in 0..40 {
            (shelf.put)(block(number)).unwrap();
        }
        for number in (0..40).rev().chain([7, 7]) {
            assert!((shelf.get)(number.into()).unwrap() == block(number));
        }
        assert!((shelf.get)(40).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }
}
