//! Names from a disk or a repository, made safe for a terminal.

use std::fmt::Write as _;

/// A raw name for people: control, invisible and direction-changing characters, backslashes and
/// bytes that are not UTF-8 become escapes, so that two different names never look the same.
#[must_use]
pub fn name(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                letter => push_escaped(&mut out, letter),
            }
        }
        for byte in part.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A raw absolute path for people: the name with a `/` before it.
#[must_use]
pub fn path(bytes: &[u8]) -> String {
    match bytes.first() {
        Some(b'/') => name(bytes),
        _ => format!("/{}", name(bytes)),
    }
}

/// A message for people on one line: as [`name`], but backslashes stay.
#[must_use]
pub fn text(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    message.chars().for_each(|letter| push_escaped(&mut out, letter));
    out
}

fn push_escaped(out: &mut String, letter: char) {
    match letter {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        letter if letter.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(letter));
        }
        letter if letter.is_control() || is_unseen(letter) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
        }
        letter => out.push(letter),
    }
}

/// Zero-width characters, line separators and those that turn the direction of writing.
fn is_unseen(letter: char) -> bool {
    matches!(letter,
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{61c}'
        | '\u{feff}')
}

/// Standard base64 (RFC 4648, padded) of raw bytes, for names that are not UTF-8.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .enumerate()
            .fold(0u32, |word, (place, byte)| word | u32::from(*byte) << (16 - 8 * place));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_reaches_the_terminal_raw() {
        assert_eq!(name("plain näme".as_bytes()), "plain näme");
        assert_eq!(name(b"a\x1b[31m\n\t\\\x7f\xff"), "a\\x1b[31m\\n\\t\\\\\\x7f\\xff");
        assert_eq!(name("a\u{202e}txt\u{9b}".as_bytes()), "a\\u{202e}txt\\u{9b}");
        assert_eq!(path(b"etc/a"), "/etc/a");
        assert_eq!(path(b"/etc/a"), "/etc/a");
        assert_eq!(text("a\\b\r"), "a\\b\\r");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
