//! Small guests in WebAssembly text, including malformed ones that no compiler produces.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Returns a filter whose `accept` has this body (nine parameters; one `i32` as result, the address of the result in
/// memory), with additional module fields. Its memory has the result "accepted" at address 0.
///
/// It is a core module with its component type, like the output of wit-bindgen.
///
/// # Panics
/// If the text is not a module.
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
    let (package, _) = resolve.push_dir(directory).expect("the contract exists");
    let world = resolve.select_world(&[package], Some("filter-plugin")).expect("the world exists");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a type can be embedded");
    module
}

/// Returns a component that instantiates a nested component with `exports` exports `instances` times. With ten thousand
/// and nine hundred it has 100 KB, and validating it would take gigabytes.
///
/// # Panics
/// Never, because the text is a component.
#[must_use]
pub fn instances_of_exports(exports: usize, instances: usize) -> Vec<u8> {
    let exports: String = (0..exports).map(|at| format!(r#"(export "f{at}" (func $f))"#)).collect();
    let instances = r#"(instance (instantiate $many (with "f" (func $f))))"#.repeat(instances);
    let text = format!(
        r#"(component (component $many (import "f" (func $f)) {exports}) (import "f" (func $f)) {instances})"#
    );
    wat::parse_str(text).expect("it is a component")
}

/// Returns a component in which each of `components` nested components imports an instance type with `exports` exports
/// `imports` times.
///
/// # Panics
/// Never, because the text is a component.
#[must_use]
pub fn imports_of_a_type(exports: usize, imports: usize, components: usize) -> Vec<u8> {
    let exports: String = (0..exports).map(|at| format!(r#"(export "f{at}" (func))"#)).collect();
    let imports: String =
        (0..imports).map(|at| format!(r#"(import "i{at}" (instance (type $t)))"#)).collect();
    let nested = format!("(component (alias outer 1 $many (type $t)) {imports})").repeat(components);
    wat::parse_str(format!("(component (type $many (instance {exports})) {nested})"))
        .expect("it is a component")
}

/// Returns a component with `functions` functions, in which `locals` variables are live across `branches` branches.
/// With 5,000 of both, a function has 250 KB, and 25 million values for the compiler.
///
/// # Panics
/// Never, because the text is a component.
#[must_use]
pub fn values_over_branches(locals: usize, branches: usize, functions: usize) -> Vec<u8> {
    let counted: String =
        (0..locals).map(|it| format!("(local.set {it} (i32.add (local.get {it}) (i32.const 1)))")).collect();
    let function = format!(
        "(func (local {}) {counted} {} {counted})",
        "i32 ".repeat(locals),
        "(if (local.get 0) (then (nop)))".repeat(branches),
    );
    let text = format!(
        r#"(component (core module {}) (instance $role)
            (export "hookwright:plugin/filter@1.0.0" (instance $role)))"#,
        function.repeat(functions),
    );
    wat::parse_str(text).expect("it is a component")
}
