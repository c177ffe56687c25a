//! The modules of the host, one per file, with their declarations.

use std::collections::{BTreeMap, BTreeSet};

use crate::lexer::{Kind, Token, tokens};
use crate::repository::FILES;
use crate::uses::{Use, parse_use};

/// Directory of the host's sources.
pub const HOST: &str = "host/src/";

/// A path from the crate root. The path of the root is empty.
pub type ModulePath = Vec<String>;

/// A module in its own file, without its tests.
pub struct Module {
    /// The file.
    pub file: String,
    /// Its path within the crate.
    pub path: ModulePath,
    /// Its imports and re-exports.
    pub uses: Vec<Use>,
    /// Names of the items that it defines.
    pub items: BTreeSet<String>,
    /// Names of the modules that it declares.
    pub children: BTreeSet<String>,
    /// All other tokens, in order.
    pub body: Vec<Token<'static>>,
}

/// Returns all modules of the host without tests.
pub fn modules() -> Vec<Module> {
    let host = FILES.iter().filter(|file| file.path.starts_with(HOST) && file.has_extension(&["rs"]));
    modules_in(host.map(|file| (file.path.as_str(), file.text.as_str())))
}

/// Returns the modules in these files, given by path and text, without tests.
pub fn modules_in<'a>(files: impl IntoIterator<Item = (&'a str, &'static str)>) -> Vec<Module> {
    let mut tests = BTreeSet::new();
    let mut modules = BTreeMap::new();
    for (path, text) in files {
        modules.insert(path.to_owned(), read(path, text, &mut tests));
    }
    modules.into_values().filter(|module| !is_test(&module.path, &tests)).collect()
}

fn is_test(path: &ModulePath, tests: &BTreeSet<ModulePath>) -> bool {
    (1..=path.len()).any(|length| tests.contains(&path[..length]))
}

fn module_path(file: &str) -> ModulePath {
    let inside =
        file.strip_prefix(HOST).and_then(|path| path.strip_suffix(".rs")).expect("a source of the host");
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    if inside == "lib" { Vec::new() } else { inside.split('/').map(str::to_owned).collect() }
}

/// Reads the module of a file. Adds its test-only modules to `tests`.
fn read(file: &str, text: &'static str, tests: &mut BTreeSet<ModulePath>) -> Module {
    let path = module_path(file);
    let mut module = Module {
        file: file.to_owned(),
        path: path.clone(),
        uses: Vec::new(),
        items: BTreeSet::new(),
        children: BTreeSet::new(),
        body: Vec::new(),
    };
    let tokens = tokens(text);
    let (mut at, mut depth) = (0, 0);
    while let Some(token) = tokens.get(at) {
        if is_test_attribute(&tokens[at..]) {
            let end = at + item_length(&tokens[at..]);
            if let Some(name) = declared_module(&tokens[at..end]) {
                tests.insert([path.as_slice(), &[name]].concat());
            }
            at = end;
            continue;
        }
        if token.is("use") {
            let end = at + tokens[at..].iter().position(|token| token.is(";")).expect("`use` ends with `;`");
            let public = at > 0 && (tokens[at - 1].is("pub") || tokens[at - 1].is(")"));
            module.uses.extend(parse_use(&tokens[at + 1..end], public));
            at = end + 1;
            continue;
        }
        depth = depth + i32::from(token.is("{")) - i32::from(token.is("}"));
        if let (0, Some(name)) = (depth, item_name(&tokens[at..])) {
            let declares = token.is("mod") && tokens.get(at + 2).is_some_and(|token| token.is(";"));
            if declares { &mut module.children } else { &mut module.items }.insert(name);
        }
        module.body.push(*token);
        at += 1;
    }
    module
}

/// Returns the name of the item that begins with this keyword.
fn item_name(tokens: &[Token]) -> Option<String> {
    const KEYWORDS: [&str; 9] = ["const", "enum", "fn", "mod", "static", "struct", "trait", "type", "union"];
    let [keyword, name, ..] = tokens else { return None };
    let begins = KEYWORDS.iter().any(|known| keyword.is(known)) && name.kind == Kind::Word;
    begins.then(|| name.text.to_owned())
}

/// Whether the tokens begin with an attribute for test-only items: `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_test_attribute(tokens: &[Token]) -> bool {
    let starts_with = |text: &[&str]| {
        tokens.len() > text.len() && text.iter().zip(tokens).all(|(text, token)| token.is(text))
    };
    starts_with(&["#", "[", "cfg", "(", "test", ")"])
        || starts_with(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// Returns the number of tokens of an item with its attributes.
fn item_length(tokens: &[Token]) -> usize {
    let (mut depth, mut is_attribute, mut needs_semicolon) = (0, false, false);
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "#" if depth == 0 => is_attribute = true,
            "use" | "const" | "static" | "type" | "let" if depth == 0 => needs_semicolon = true,
            ";" if depth == 0 => return at + 1,
            "{" | "(" | "[" if token.kind == Kind::Symbol => depth += 1,
            "}" | ")" | "]" if token.kind == Kind::Symbol => {
                depth -= 1;
                if depth == 0 && token.is("}") && !needs_semicolon && !is_attribute {
                    return at + 1;
                }
                if depth == 0 {
                    is_attribute = false;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Returns the name of a module item, inline or in its own file.
fn declared_module(item: &[Token]) -> Option<String> {
    let at = item.iter().position(|token| token.is("mod"))?;
    item.get(at + 1).map(|name| name.text.to_owned())
}
