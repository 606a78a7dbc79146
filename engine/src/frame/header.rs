//! The header of a zstd frame (RFC 8878, 3.1.1.1), read before anything is expanded.

use zstd::zstd_safe::find_frame_compressed_size;

use crate::limits;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Checks that `payload` is exactly one zstd frame of `plain_len` bytes as the format wants it:
/// with its content size, without checksum and dictionary id, and with a bounded window.
pub(super) fn check(payload: &[u8], plain_len: u64) -> Result<(), String> {
    let (content_len, window_len) = read(payload).ok_or("not a zstd frame as the format has it")?;
    if content_len != plain_len {
        return Err(format!("a frame claims {content_len} bytes instead of {plain_len}"));
    }
    if window_len > 1 << limits::ZSTD_WINDOW_LOG_MAX {
        return Err(format!("a frame wants a window of {window_len} bytes"));
    }
    match find_frame_compressed_size(payload) {
        Ok(len) if len == payload.len() => Ok(()),
        Ok(_) => Err("bytes follow a zstd frame".to_owned()),
        Err(_) => Err("a zstd frame is cut short".to_owned()),
    }
}

/// The content size and the window, in bytes.
fn read(payload: &[u8]) -> Option<(u64, u64)> {
    let rest = payload.strip_prefix(&MAGIC)?;
    let (descriptor, mut rest) = rest.split_first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    // The reserved bit, the checksum and the dictionary id; the unused bit means nothing.
    if descriptor & 0b1111 != 0 {
        return None;
    }
    let mut window_len = 0;
    if !is_single_segment {
        let (window, after) = rest.split_first()?;
        let base = 1_u64 << (10 + (window >> 3));
        window_len = base + base / 8 * u64::from(window & 7);
        rest = after;
    }
    let content_len = match descriptor >> 6 {
        0 if is_single_segment => u64::from(*rest.first()?),
        0 => return None,
        1 => 256 + u64::from(u16::from_le_bytes(*rest.first_chunk()?)),
        2 => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
        _ => u64::from_le_bytes(*rest.first_chunk()?),
    };
    Some((content_len, if is_single_segment { content_len } else { window_len }))
}
