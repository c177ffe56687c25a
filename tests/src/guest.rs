//! Guests of a few lines, written as WebAssembly text: what no honest compiler would make.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A filter whose `accept` has this body (nine parameters, one `i32` as its result: where the answer
/// stands in memory), beside `fields` of its own. Page 1 of its memory holds the answer "accepted" at 0.
///
/// What comes out is a core module that carries its component type, as wit-bindgen makes them.
///
/// # Panics
/// Where the text is no module.
#[must_use]
pub fn filter(fields: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
  (memory (export "memory") 2)
  (data (i32.const 0) "\00\00\00\00\01\00\00\00")
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536))))))
    (local.get $at))
  {fields}
  (func (export "hookwright:plugin/filter@1.0.0#accept")
    (param i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)
    {body}))"#
    );
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut resolve = Resolve::default();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/v1");
    let (package, _) = resolve.push_dir(directory).expect("the contract is there");
    let world = resolve.select_world(&[package], Some("filter-plugin")).expect("the world is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a type can be embedded");
    module
}
