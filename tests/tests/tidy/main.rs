//! Rules for the sources that no compiler checks: layers, import cycles, lengths, words and dependencies.
//!
//! Known violations are in `known.txt`. A new violation fails its test, and so does an entry that is no longer
//! needed, so the list can only become shorter.

mod circles;
mod databases;
mod dependencies;
mod deploy;
mod imports;
mod includes;
mod known;
mod layers;
mod lengths;
mod lexer;
mod licences;
mod modules;
mod monitoring;
mod paths;
mod repository;
mod tests;
mod uses;
mod words;

use known::{Violation, expect_only_known};

#[test]
fn imports_follow_the_layers_in_the_architecture_document() {
    expect_only_known("layer", layers::violations());
}

#[test]
fn imports_of_the_host_have_no_cycles() {
    expect_only_known("circle", circles::violations());
}

#[test]
fn end_to_end_tests_run_on_both_databases() {
    expect_only_known("database", databases::violations());
}

#[test]
fn files_are_short() {
    expect_only_known("file", lengths::files());
}

#[test]
fn functions_are_short() {
    expect_only_known("function", lengths::functions());
}

#[test]
fn lines_of_documents_are_short() {
    expect_only_known("line", lengths::document_lines());
}

#[test]
fn identifiers_are_standard_terms() {
    expect_only_known("word", words::identifiers());
}

#[test]
fn sentences_are_plain() {
    expect_only_known("phrase", words::phrases());
}

#[test]
fn dependencies_are_allowed() {
    expect_only_known("dependency", dependencies::violations());
}
