//! The lines of a redis.conf (or valkey.conf): a name and arguments, separated by blanks, quoted where needed.
//!
//! ```text
//! name argument "argument with \"escapes\" and \x41" 'argument with \' only'
//! ```
//!
//! Absent on purpose: the meaning of any name.

/// A line that sets something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its line, from 1.
    pub line: usize,
    /// Its name, lower case.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// A line that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in Redis's words where it has them.
    pub what: &'static str,
}

/// The directives of a file, comments and empty lines left out.
pub(super) fn directives(content: &str) -> Result<Vec<Directive>, Malformed> {
    let mut found = Vec::new();
    for (index, text) in content.lines().enumerate() {
        let (line, text) = (index + 1, text.trim());
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut words = words(text.as_bytes()).map_err(|what| Malformed { line, what })?.into_iter();
        let Some(name) = words.next() else { continue };
        found.push(Directive { line, name: name.to_ascii_lowercase(), args: words.collect() });
    }
    Ok(found)
}

/// Splits a line as Redis does.
fn words(line: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, behind) = word(rest)?;
        words.push(String::from_utf8(word).map_err(|_| "Argument is no text (UTF-8)")?);
        rest = behind.trim_ascii_start();
    }
    Ok(words)
}

const UNBALANCED: &str = "Unbalanced quotes in configuration line";

/// The first word, and what follows it. A quote may begin inside of a word; behind its end stands a blank or nothing.
fn word(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut word = Vec::new();
    while let [byte, behind @ ..] = rest {
        match byte {
            b'"' | b'\'' => {
                rest = quoted(*byte, behind, &mut word)?;
                return match rest.first() {
                    Some(byte) if !byte.is_ascii_whitespace() => Err(UNBALANCED),
                    Some(_) | None => Ok((word, rest)),
                };
            }
            byte if byte.is_ascii_whitespace() => break,
            byte => word.push(*byte),
        }
        rest = behind;
    }
    Ok((word, rest))
}

/// Takes what stands up to the closing quote into `word`; returns what follows it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        rest = match (quote, rest) {
            (_, []) => return Err(UNBALANCED),
            (b'"', [b'\\', b'x', high, low, behind @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) * 16 + hex(*low));
                behind
            }
            (b'"', [b'\\', escaped, behind @ ..]) => {
                word.push(unescaped(*escaped));
                behind
            }
            (b'\'', [b'\\', b'\'', behind @ ..]) => {
                word.push(b'\'');
                behind
            }
            (_, [byte, behind @ ..]) if *byte == quote => return Ok(behind),
            (_, [byte, behind @ ..]) => {
                word.push(*byte);
                behind
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// What `\` and this byte mean together.
fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let found = directives(line).unwrap_or_else(|error| panic!("{line}: {error:?}"));
        let words: Vec<_> =
            found.iter().flat_map(|d| std::iter::once(&d.name).chain(&d.args)).map(String::as_str).collect();
        assert_eq!(words, expected, "{line}");
    }

    #[test]
    fn words_are_split_as_redis_does() {
        check("", &[]);
        check("   # port 1", &[]);
        check("port 6379", &["port", "6379"]);
        check("\t PORT\t6379  \r", &["port", "6379"]);
        check("save \"\"", &["save", ""]);
        check("save ''", &["save", ""]);
        check("bind 127.0.0.1 -::1 # not a comment", &["bind", "127.0.0.1", "-::1", "#", "not", "a", "comment"]);
        check(r#"requirepass "a b\"\\\n\x41\q""#, &["requirepass", "a b\"\\\nAq"]);
        check(r"requirepass 'a\'b\n'", &["requirepass", "a'b\\n"]);
        check(r#"requirepass pre"fix""#, &["requirepass", "prefix"]);
        check(r#"requirepass "\xZZ""#, &["requirepass", "xZZ"]);
    }

    #[test]
    fn lines_are_counted_from_1() {
        let found = directives("# a\n\nport 1\n\n  timeout 2\n").unwrap();
        assert_eq!(found.iter().map(|directive| directive.line).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn what_cannot_be_split_names_its_line() {
        let check = |content, line, what| assert_eq!(directives(content), Err(Malformed { line, what }), "{content}");
        check("\nrequirepass \"a", 2, UNBALANCED);
        check("requirepass 'a", 1, UNBALANCED);
        check("requirepass \"a\"b", 1, UNBALANCED);
        check("requirepass \"a\\", 1, UNBALANCED);
        check("requirepass \"\\xff\"", 1, "Argument is no text (UTF-8)");
    }
}
