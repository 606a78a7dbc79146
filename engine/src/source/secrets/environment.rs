//! Files of settings, one `NAME=value` a line, as shells, systemd and Docker read them.

/// The values of settings whose names end in `_FILE`, raw, with the numbers of their lines from 1.
pub(super) fn named_files(text: &[u8]) -> Vec<(usize, &[u8])> {
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    lines.filter_map(|(at, line)| Some((at + 1, named_file(line)?))).collect()
}

fn named_file(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"export ").unwrap_or(line).trim_ascii_start();
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = line.split_at(equals);
    let name = name.trim_ascii();
    let is_word = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let ends = name.len() > 5 && name[name.len() - 5..].eq_ignore_ascii_case(b"_FILE");
    let value = value_of(&value[1..]);
    (is_word && ends && !value.is_empty()).then_some(value)
}

/// A value without its quotes, or without the comment after it.
fn value_of(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    if let Some((quote @ (b'"' | b'\''), rest)) = value.split_first()
        && let Some(end) = rest.iter().position(|byte| byte == quote)
    {
        return &rest[..end];
    }
    let comment =
        value.windows(2).position(|pair| pair[0].is_ascii_whitespace() && pair[1] == b'#');
    comment.map_or(value, |at| value[..at].trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::named_files;

    #[test]
    fn settings_that_name_files_are_found() {
        let text = b"# A_FILE=/no\nexport DB_PASSWORD_FILE=/run/a\n\nB_FILE = '/run/b c' # x\r\n\
            jwt_file=\"/run/d\"\nE_FILE=/run/e # why\r\nPLAIN=x\nF_FILE=\n_FILE=/no\nG-_FILE=/no\nH_FILE=rel#1";
        let found = named_files(text);
        let wanted: [(usize, &[u8]); 5] =
            [(2, b"/run/a"), (4, b"/run/b c"), (5, b"/run/d"), (6, b"/run/e"), (11, b"rel#1")];
        assert_eq!(found, wanted);
    }
}
