//! Tests of the rules themselves, with sources that break them.

use crate::imports;
use crate::lexer::{Kind, tokens};
use crate::modules::modules_in;
use crate::repository::File;
use crate::uses::parse_use;
use crate::{Violation, circles, includes, layers, words};

/// The imports between these files, given by path under the host's folder and text.
fn imports_of(files: &[(&'static str, &'static str)]) -> Vec<imports::Import> {
    let root = [("lib.rs", "")];
    let files = root.iter().chain(files).map(|(path, text)| (format!("host/src/{path}"), *text));
    let files: Vec<(String, &'static str)> = files.collect();
    imports::between(&modules_in(files.iter().map(|(path, text)| (path.as_str(), *text))))
}

/// Imports as `from -> to`, without the host's folder.
fn shown(files: &[(&'static str, &'static str)]) -> Vec<String> {
    let arrow =
        |import: imports::Import| format!("{} -> {}", import.from, import.to).replace("host/src/", "");
    imports_of(files).into_iter().map(arrow).collect()
}

fn keys(violations: Vec<Violation>) -> Vec<String> {
    violations.into_iter().map(|violation| violation.key.replace("host/src/", "")).collect()
}

#[test]
fn an_import_leads_to_the_file_that_defines_the_item() {
    let files = [
        ("a/mod.rs", "mod c; pub use c::Thing; pub use c::Other as Renamed;"),
        ("a/c.rs", "pub struct Thing; pub struct Other;"),
        ("b.rs", "use crate::a::{Renamed, c::Thing as T}; fn f() -> crate::a::Renamed { todo!() }"),
    ];
    assert_eq!(shown(&files), ["b.rs -> a/c.rs"], "neither `mod` nor `pub use` is an import");
    let uses_it = ("a/mod.rs", "mod c; pub use c::Thing; pub fn make() -> Thing { Thing }");
    assert_eq!(
        shown(&[uses_it, files[1]]),
        ["a/mod.rs -> a/c.rs"],
        "unless the file uses what it re-exports"
    );
}

#[test]
fn paths_in_code_are_imports_and_tests_are_not() {
    let files = [
        (
            "a.rs",
            "mod c; fn f() { c::run(); std::mem::drop(1); value.c.run() } #[cfg(test)] mod tests { use crate::b::B; }",
        ),
        ("a/c.rs", "use super::super::b; pub fn run() { b::make() } // crate::d::D"),
        ("b.rs", "#[cfg(test)] mod tests; #[cfg(test)] use crate::a::f; pub fn make() {}"),
        ("b/tests.rs", "use crate::a::f; use super::make;"),
    ];
    assert_eq!(shown(&files), ["a.rs -> a/c.rs", "a/c.rs -> b.rs"]);
}

#[test]
fn each_import_of_a_cycle_is_a_violation() {
    let files = [
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; use crate::d::D; pub struct C;"),
        ("d.rs", "pub struct D;"),
    ];
    assert_eq!(keys(circles::among(&imports_of(&files))), ["a.rs -> b.rs", "b.rs -> c.rs", "c.rs -> a.rs"]);
    // No file imports in a cycle, but two topmost modules do.
    let files = [
        ("a/mod.rs", "mod one; pub mod two;"),
        ("b/mod.rs", "pub mod one; mod two;"),
        ("a/one.rs", "use crate::b::one::B;"),
        ("a/two.rs", "pub struct A;"),
        ("b/one.rs", "pub struct B;"),
        ("b/two.rs", "use crate::a::two::A;"),
    ];
    assert_eq!(keys(circles::among(&imports_of(&files))), ["a/one.rs -> b/one.rs", "b/two.rs -> a/two.rs"]);
}

#[test]
fn a_source_and_its_header_are_one_part() {
    let file = |path: &str, text: &str| File { path: format!("plugins/c/src/{path}"), text: text.to_owned() };
    let files = [
        file("a.c", "#include <string.h>\n#include \"a.h\"\n#include \"b.h\"\n"),
        file("a.h", ""),
        file("b.h", "#include \"quickjs.h\"\n"),
        file("b.c", "#include \"a.h\"\n"),
    ];
    let arrow =
        |import: imports::Import| format!("{} -> {}", import.from, import.to).replace("plugins/c/src/", "");
    let found: Vec<String> = files.iter().flat_map(|file| includes::of(file, &files)).map(arrow).collect();
    assert_eq!(found, ["a -> b", "b -> a"]);
}

#[test]
fn imports_of_the_same_level_or_of_one_above_are_violations() {
    let order = layers::order("The order is `main → app →\n{ left, right } → domain`, beside `clock`.");
    let files = [
        ("main.rs", "use crate::domain::D; use crate::app::A;"),
        ("app.rs", "use crate::left::L; use crate::clock::C; pub struct A;"),
        ("left.rs", "use crate::right::R; use crate::domain::D; pub struct L;"),
        ("right.rs", "use crate::app::A; pub struct R;"),
        ("domain.rs", "use crate::clock::C; pub struct D;"),
        ("clock.rs", "use crate::app::A; pub struct C;"),
    ];
    let broken = ["domain.rs -> clock.rs", "left.rs -> right.rs", "right.rs -> app.rs"];
    let mut found = keys(layers::against(&order, &imports_of(&files)));
    found.sort();
    assert_eq!(found, broken);
}

#[test]
fn tokens_are_told_from_comments_and_literals() {
    let text = r##"let a: &'a str = r#"fn "x" {"#; // fn
        /* fn /* fn */ fn */ 'x' '\'' b"\"" b'"' 1_000.5e3 a::b"##;
    let words: Vec<&str> =
        tokens(text).iter().filter(|token| token.kind == Kind::Word).map(|token| token.text).collect();
    assert_eq!(words, ["let", "a", "str", "a", "b"]);
    assert_eq!(tokens("a\n/*\n*/ b").iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_use_declares_each_name_of_its_tree() {
    let tokens = tokens("a::{self, b::{C, d::*}, e as f}");
    let uses: Vec<(String, String)> =
        parse_use(&tokens, false).into_iter().map(|used| (used.path.join("::"), used.name)).collect();
    let expected = [("a", "a"), ("a::b::C", "C"), ("a::b::d", "*"), ("a::e", "f")];
    assert_eq!(uses, expected.map(|(path, name)| (path.to_owned(), name.to_owned())));
}

#[test]
fn names_are_divided_into_words() {
    assert_eq!(words::parts("TenantTurns"), ["tenant", "turns"]);
    assert_eq!(words::parts("tenant_turns"), ["tenant", "turns"]);
    assert_eq!(words::parts("MAX_TURNS"), ["max", "turns"]);
    assert_eq!(words::parts("returned"), ["returned"]);
}
