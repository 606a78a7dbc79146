//! What came of fixing one moment for several databases, on its way from the worker.

use std::io;
use std::path::PathBuf;

use super::request::{cut_off, part, put_part, take, to_path};

/// Bytes told of why a database is left out.
const WHY_LEN_MAX: usize = 1000;

/// Databases whose transactions are open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// How often it was tried.
    pub tries: u32,
    /// How many show the moment; none if none was found.
    pub count: u32,
    /// Those that do not, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

impl Held {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = [self.tries.to_le_bytes(), self.count.to_le_bytes()].concat();
        for (path, why) in &self.left_out {
            put_part(&mut out, path.as_os_str().as_encoded_bytes());
            let why = why.as_bytes();
            put_part(&mut out, why.get(..WHY_LEN_MAX).unwrap_or(why));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut rest = bytes;
        let [tries, count] = [take(&mut rest)?, take(&mut rest)?].map(u32::from_le_bytes);
        let mut left_out = Vec::new();
        while !rest.is_empty() {
            let path = to_path(part(&mut rest)?);
            if rest.is_empty() {
                return Err(cut_off());
            }
            left_out.push((path, String::from_utf8_lossy(part(&mut rest)?).into_owned()));
        }
        Ok(Self { tries, count, left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_comes_over_by_name() {
        let left_out = vec![("/a\n=b".into(), "locked".to_owned()), ("/c".into(), String::new())];
        let held = Held { tries: 3, count: 2, left_out };
        let bytes = held.encode();
        assert_eq!(Held::decode(&bytes).unwrap(), held);
        assert!(Held::decode(&bytes[..7]).is_err() && Held::decode(&bytes[..9]).is_err());
        assert_eq!(Held::decode(&Held::default().encode()).unwrap(), Held::default());
    }
}
