//! Rust source without comments and texts, looked through by token. No parser: enough for code that
//! `cargo fmt` has laid out.

/// Source in which comments and literals are blanks; lines stay where they are.
pub struct Code(String);

/// How many modules deep a file of the engine is: `frame/mod.rs` 1, `frame/probe.rs` 2.
pub fn depth(file: &str) -> usize {
    let folders = file.matches('/').count();
    if file.ends_with("/mod.rs") { folders } else { folders + 1 }
}

/// The files without those that are only built for tests, and without test items in the others.
pub fn without_tests(files: Vec<(String, String)>) -> Vec<(String, Code)> {
    let mut kept: Vec<(String, Code)> = Vec::new();
    let mut test_modules: Vec<String> = Vec::new();
    for (file, text) in files {
        let mut code = Code::new(&text);
        let folder = match file.strip_suffix("mod.rs").or(file.strip_suffix("lib.rs")) {
            Some(folder) => folder.to_owned(),
            None => format!("{}/", file.trim_end_matches(".rs")),
        };
        test_modules.extend(code.strike_tests().into_iter().map(|name| format!("{folder}{name}")));
        kept.push((file, code));
    }
    kept.retain(|(file, _)| {
        !test_modules.iter().any(|module| {
            let rest = file.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    });
    kept
}

impl Code {
    pub fn new(text: &str) -> Self {
        Self(blanked(text))
    }

    /// The names after `crate::`, and after as many `super::` as lead there from a file this deep,
    /// with their lines. `crate::{a, b}` gives each; `crate::*` gives `*`.
    pub fn crate_uses(&self, depth: usize) -> Vec<(usize, String)> {
        let root = ["crate::".to_owned(), "super::".repeat(depth)];
        let starts = root.iter().flat_map(|prefix| {
            let found = self.0.match_indices(prefix.as_str());
            found.map(|(at, _)| (at, at + prefix.len())).collect::<Vec<_>>()
        });
        let mut uses = Vec::new();
        for (at, after) in starts.filter(|(at, _)| !self.follows_a_word(*at)) {
            let line = self.line(at);
            uses.extend(heads(&self.0[after..]).into_iter().map(|name| (line, name)));
        }
        uses
    }

    /// Where paths that begin with one of `prefixes` stand, as in `std::fs` or `std::{fs, io}`.
    pub fn paths_of(&self, prefixes: &[&str]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for prefix in prefixes {
            let (top, inner) = prefix.split_once("::").unwrap_or((prefix, ""));
            let start = format!("{top}::");
            for (at, _) in self.0.match_indices(start.as_str()) {
                if self.follows_a_word(at) {
                    continue;
                }
                let heads = heads(&self.0[at + start.len()..]);
                if inner.is_empty() || heads.iter().any(|head| head == inner) {
                    found.push((self.line(at), (*prefix).to_owned()));
                }
            }
        }
        found
    }

    /// The functions with a body: name and lines, from `fn` to the closing brace.
    pub fn functions(&self) -> Vec<(String, usize)> {
        let code = self.0.as_str();
        let mut functions = Vec::new();
        for (at, _) in code.match_indices("fn ") {
            let rest = &code[at + 3..];
            let name = word(rest);
            if self.follows_a_word(at) || name.is_empty() {
                continue;
            }
            let Some(open) = body_start(rest) else { continue };
            let start = at + 3 + open;
            let end = start + block_len(&code[start..]);
            functions.push((name.to_owned(), code[at..end].lines().count()));
        }
        functions
    }

    /// Blanks the items under `#[cfg(test)]`; gives the names of modules in files of their own.
    fn strike_tests(&mut self) -> Vec<String> {
        const MARK: &str = "#[cfg(test)]";
        let mut modules = Vec::new();
        while let Some(at) = self.0.find(MARK) {
            let item = &self.0[at + MARK.len()..];
            let end = item.find([';', '{']).map_or(item.len(), |end| match item.as_bytes()[end] {
                b'{' => end + block_len(&item[end..]),
                _ => end + 1,
            });
            let words: Vec<&str> = item[..end].split_whitespace().collect();
            if let Some(place) = words.iter().position(|word| *word == "mod")
                && let Some(name) = words.get(place + 1).and_then(|name| name.strip_suffix(';'))
            {
                modules.push(name.to_owned());
            }
            let struck = at..at + MARK.len() + end;
            let blank = self.0[struck.clone()].replace(|c| c != '\n', " ");
            self.0.replace_range(struck, &blank);
        }
        modules
    }

    fn follows_a_word(&self, at: usize) -> bool {
        self.0[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'))
    }

    fn line(&self, at: usize) -> usize {
        self.0[..at].matches('\n').count() + 1
    }
}

/// The first words of a path, or of each path in braces.
fn heads(path: &str) -> Vec<String> {
    if path.starts_with('*') {
        return vec!["*".into()];
    }
    let Some(group) = path.strip_prefix('{') else { return vec![word(path).into()] };
    let (mut depth, mut heads, mut fresh) = (0_usize, Vec::new(), true);
    for (at, byte) in group.char_indices() {
        match byte {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && depth == 0 && !byte.is_whitespace() => {
                heads.push(if byte == '*' { "*".into() } else { word(&group[at..]).into() });
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Where the body of a function begins; none for a declaration or a type.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ if depth < 0 => return None,
            _ => {}
        }
    }
    None
}

/// The length of a block that begins with `{`.
fn block_len(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// Comments, texts and characters become blanks, line ends stay.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let after_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let len = literal_len(rest, after_word);
        if len == 0 {
            let c = rest.chars().next().unwrap_or(' ');
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..len].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[len..];
        }
    }
    out
}

/// The length of the comment or literal that begins here; 0 if none does.
fn literal_len(rest: &str, after_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if let Some(inner) = rest.strip_prefix('"') {
        return 1 + text_len(inner);
    }
    if let Some(raw) = rest.strip_prefix("br").or(rest.strip_prefix('r'))
        && !after_word
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        if let Some(inner) = raw[hashes..].strip_prefix('"') {
            let start = rest.len() - inner.len();
            return inner.find(&close).map_or(rest.len(), |end| start + end + close.len());
        }
    }
    char_len(rest)
}

/// The length of a text up to its closing quote.
fn text_len(inner: &str) -> usize {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    inner.len()
}

/// The length of a character literal; 0 for a lifetime.
fn char_len(rest: &str) -> usize {
    let Some(inner) = rest.strip_prefix('\'') else { return 0 };
    if let Some(escape) = inner.strip_prefix('\\') {
        let skipped = escape.chars().next().map_or(0, char::len_utf8);
        return escape[skipped..].find('\'').map_or(0, |end| 2 + skipped + end + 1);
    }
    let Some(c) = inner.chars().next() else { return 0 };
    if inner[c.len_utf8()..].starts_with('\'') { 2 + c.len_utf8() } else { 0 }
}

#[test]
fn sees_code_as_the_compiler_does() {
    let text = r##"
        use crate::{model::Id, /* crate::no */ error::{A, B}, *};
        let x = "crate::text"; let y = 'c'; let z = '\''; let r = r#"crate::raw""#;
        fn f<'a>(x: &'a [u8; 2]) -> crate::limits::X { super::super::pack::go() }
        pub(crate) fn g();
        #[cfg(test)] mod tests { use crate::repo; }
        #[cfg(test)]
        mod elsewhere;
    "##;
    let mut code = Code::new(text);
    assert_eq!(code.strike_tests(), ["elsewhere"]);
    let names = code.crate_uses(2).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names, ["model", "error", "*", "limits", "pack"]);
    assert_eq!(code.functions(), [("f".to_owned(), 1)]);
    let files = Code::new("use std::{fs, io}; use std::fmt; my_std::fs();");
    assert_eq!(files.paths_of(&["std::fs", "std::net"]).len(), 1);
    assert_eq!((depth("crash.rs"), depth("frame/mod.rs"), depth("frame/probe.rs")), (1, 1, 2));
}
