//! The tokens of a file in one flat list, delimiters included.
//!
//! The syntax tree does not look into macros; a rule about words must.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text; `::` is one token, other punctuation is one character.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// All tokens in order; comments are none, documentation comments become attributes.
pub fn flat(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    push(stream, &mut tokens);
    tokens
}

fn push(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut after_joined_colon = false;
    for tree in stream {
        let line = tree.span().start().line;
        let mut colon = false;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.into(), line: group.span_open().start().line });
                push(group.stream(), tokens);
                tokens.push(Token { text: close.into(), line: group.span_close().start().line });
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' && after_joined_colon => {
                if let Some(last) = tokens.last_mut() {
                    last.text = "::".into();
                }
            }
            TokenTree::Punct(punct) => {
                colon = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                tokens.push(Token { text: punct.as_char().to_string(), line });
            }
            TokenTree::Ident(ident) => tokens.push(Token { text: ident.to_string(), line }),
            TokenTree::Literal(literal) => tokens.push(Token { text: literal.to_string(), line }),
        }
        after_joined_colon = colon;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[(&str, usize)]) {
        let tokens = flat(source.parse().unwrap());
        let found: Vec<_> = tokens.iter().map(|token| (token.text.as_str(), token.line)).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn paths_groups_and_lines_are_kept() {
        check("std::fs", &[("std", 1), ("::", 1), ("fs", 1)]);
        check("a: b", &[("a", 1), (":", 1), ("b", 1)]);
        check("f(\n1)", &[("f", 1), ("(", 1), ("1", 2), (")", 2)]);
        check("m! {\nunsafe {}\n}", &[("m", 1), ("!", 1), ("{", 1), ("unsafe", 2), ("{", 2), ("}", 2), ("}", 3)]);
    }
}
