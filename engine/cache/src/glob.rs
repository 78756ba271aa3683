//! Glob patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, `\` before any of these.
//!
//! A class that is never closed ends with the pattern; a range may be written backwards.
//!
//! Invariant: time is at most pattern length times text length. Only the last `*` is ever retried, which suffices
//! because every other element matches exactly one byte.

/// Whether letters match their other case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Bytes match only themselves.
    Sensitive,
    /// ASCII letters match either case.
    Ignored,
}

/// True if the whole `text` matches `pattern`.
pub(crate) fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not match: after the star, one byte further in the text.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if let Some(length) = pattern.get(p..).and_then(|rest| match_one(rest, text[t], case)) {
            p += length;
            t += 1;
            continue;
        }
        let Some((after_star, from)) = retry else { return false };
        retry = Some((after_star, from + 1));
        p = after_star;
        t = from + 1;
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// True if `pattern` matches every text.
pub(crate) fn matches_all(pattern: &[u8]) -> bool {
    !pattern.is_empty() && pattern.iter().all(|&b| b == b'*')
}

/// Length of the pattern's first element if it matches `byte`; the element is not a `*`.
fn match_one(pattern: &[u8], byte: u8, case: Case) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => match_class(class, byte, case).map(|length| length + 1),
        [b'\\', escaped, ..] => equal(*escaped, byte, case).then_some(2),
        [literal, ..] => equal(*literal, byte, case).then_some(1),
    }
}

/// Length of a class behind its `[`, closing bracket included, if it contains `byte`.
fn match_class(class: &[u8], byte: u8, case: Case) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= equal(*escaped, byte, case);
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= in_range(*first, *last, byte, case);
                at += 3;
            }
            [literal, ..] => {
                found |= equal(*literal, byte, case);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

fn in_range(first: u8, last: u8, byte: u8, case: Case) -> bool {
    let (first, last, byte) = match case {
        Case::Sensitive => (first, last, byte),
        Case::Ignored => (first.to_ascii_lowercase(), last.to_ascii_lowercase(), byte.to_ascii_lowercase()),
    };
    (first.min(last)..=first.max(last)).contains(&byte)
}

fn equal(a: u8, b: u8, case: Case) -> bool {
    match case {
        Case::Sensitive => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let table: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a**c", "ac", true),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "", false),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("[]a]", "a", false),
            ("[\\]a]", "]", true),
            ("[abc", "b", true),
            ("[abc", "bb", false),
            ("[", "[", false),
            ("[^", "a", true),
            ("[a-", "-", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("A", "a", false),
            ("a*", "a", true),
            ("a?*", "a", false),
        ];
        for (pattern, text, expected) in table {
            let found = matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive);
            assert_eq!(found, *expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn ignored_case_holds_in_literals_and_ranges() {
        assert!(matches(b"MaxMem*", b"maxmemory", Case::Ignored));
        assert!(matches(b"[A-C]x", b"bX", Case::Ignored));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5000).as_bytes(), Case::Sensitive));
    }
}
