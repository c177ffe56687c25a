//! `use` declarations.

use crate::lexer::Token;

/// One name that a `use` brings in.
pub struct Use {
    /// The path as it is written, without a trailing `self` or `*`.
    pub path: Vec<String>,
    /// The name under which it is known here; `*` brings in all names.
    pub name: String,
    /// Whether it is handed on: `pub use`, `pub(super) use`.
    pub is_public: bool,
    /// The line, from 1.
    pub line: usize,
}

/// The names that a `use` brings in: what is between `use` and `;`.
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

/// What the commas of the outermost level divide.
fn parts<'a, 't>(tokens: &'a [Token<'t>]) -> Vec<&'a [Token<'t>]> {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        depth = depth + i32::from(token.is("{")) - i32::from(token.is("}"));
        depth == 0 && token.is(",")
    });
    parts.filter(|part| !part.is_empty()).collect()
}
