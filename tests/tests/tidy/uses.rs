//! `use` declarations.

use crate::lexer::Token;

/// A name that a `use` declares.
pub struct Use {
    /// The path without a trailing `self` or `*`.
    pub path: Vec<String>,
    /// The local name, or `*` for all names.
    pub name: String,
    /// Whether it is a re-export: `pub use`, `pub(super) use`.
    pub is_public: bool,
    /// The line, from 1.
    pub line: usize,
}

/// Parses the names that a `use` declares: the tokens between `use` and `;`.
pub fn parse_use(tokens: &[Token], is_public: bool) -> Vec<Use> {
    let mut uses = Vec::new();
    parse_tree(tokens, &[], is_public, &mut uses);
    uses
}

fn parse_tree(tokens: &[Token], prefix: &[String], is_public: bool, uses: &mut Vec<Use>) {
    let mut path = prefix.to_vec();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "::" => {}
            "{" => {
                for part in parts(&tokens[at + 1..tokens.len() - 1]) {
                    parse_tree(part, &path, is_public, uses);
                }
                return;
            }
            "*" => return uses.push(Use { path, name: "*".into(), is_public, line: token.line }),
            "as" => {
                let name = tokens[at + 1].text.to_owned();
                return uses.push(Use { path, name, is_public, line: token.line });
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
    }
    if let (Some(name), Some(last)) = (path.last().cloned(), tokens.last()) {
        uses.push(Use { path, name, is_public, line: last.line });
    }
}

/// Splits tokens at commas of the outermost level.
fn parts<'a, 't>(tokens: &'a [Token<'t>]) -> Vec<&'a [Token<'t>]> {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        depth = depth + i32::from(token.is("{")) - i32::from(token.is("}"));
        depth == 0 && token.is(",")
    });
    parts.filter(|part| !part.is_empty()).collect()
}
