//! Guests in a few lines of WAT.
//!
//! A guest is a core module with the component type of a world in `wit/v1`, which the sandbox wraps, so no other
//! toolchain is needed. Functions write their result at address 1024.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A role's world, the name of its function, and the function's type.
struct Role(&'static str, &'static str, &'static str);

const EVENT: &str = "(param $id i32) (param $id-len i32) (param $type i32) (param $type-len i32) \
    (param $at i64) (param $attributes i32) (param $attributes-len i32) (param $data i32) (param $data-len i32) \
    (result i32)";
const FILTER: Role = Role("filter-plugin", "hookwright:plugin/filter@1.0.0#accept", EVENT);
const MAPPER: Role = Role("mapper-plugin", "hookwright:plugin/mapper@1.0.0#map-fields", EVENT);
const TRANSFORMER: Role = Role(
    "transformer-plugin",
    "hookwright:plugin/transformer@1.0.0#transform",
    "(param $args i32) (result i32)",
);

/// Returns `ok(true)`.
pub(super) const ACCEPT: &str = "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.const 1024)";
/// Returns `ok(false)`.
pub(super) const REJECT: &str = "(i32.store8 (i32.const 1028) (i32.const 0)) (i32.const 1024)";

/// An allocator that never frees, from the third page on.
const REALLOC: &str = r#"
    (global $next (mut i32) (i32.const 131072))
    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (loop $more
            (if (i32.gt_u (global.get $next) (i32.shl (memory.size) (i32.const 16)))
                (then
                    (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
                    (br $more))))
        (local.get $at))"#;

/// Builder of a guest.
pub(super) struct Guest {
    role: Role,
    body: String,
    imports: String,
    items: String,
    realloc: String,
    memory: String,
    /// Another package, and its interface that is imported.
    package: Option<(&'static str, &'static str)>,
}

impl Guest {
    fn new(role: Role, body: &str) -> Self {
        Self {
            role,
            body: body.to_owned(),
            imports: String::new(),
            items: String::new(),
            realloc: REALLOC.to_owned(),
            memory: r#"(memory (export "memory") 3)"#.to_owned(),
            package: None,
        }
    }

    pub(super) fn filter(body: &str) -> Self {
        Self::new(FILTER, body)
    }

    pub(super) fn mapper(body: &str) -> Self {
        Self::new(MAPPER, body)
    }

    pub(super) fn transformer(body: &str) -> Self {
        Self::new(TRANSFORMER, body)
    }

    /// Adds definitions, such as globals, functions, data and `start`.
    pub(super) fn with(mut self, items: &str) -> Self {
        self.items.push_str(items);
        self
    }

    pub(super) fn import(mut self, interface: &str, name: &str, ty: &str) -> Self {
        self.imports += &format!(r#"(import "{interface}" "{name}" (func ${name} {ty}))"#);
        self
    }

    /// Imports an interface of another WIT package.
    pub(super) fn package(mut self, wit: &'static str, interface: &'static str) -> Self {
        self.package = Some((wit, interface));
        self
    }

    pub(super) fn log(self) -> Self {
        self.import("hookwright:plugin/log@1.0.0", "write", "(param i32 i32 i32)")
    }

    pub(super) fn realloc(mut self, body: &str) -> Self {
        self.realloc =
            format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {body})"#);
        self
    }

    pub(super) fn memory(mut self, definition: &str) -> Self {
        self.memory = definition.to_owned();
        self
    }

    /// Builds the core module with its component type.
    pub(super) fn module(self) -> Vec<u8> {
        let Self { role: Role(world, function, ty), body, imports, items, realloc, memory, package } = self;
        let text = format!(
            r#"(module {imports} {memory} {realloc} {items} (func (export "{function}") {ty} {body}))"#
        );
        let mut module = wat::parse_str(text).expect("the guest is WAT");
        let mut resolve = Resolve::default();
        let (contract, _) = resolve.push_dir("../wit/v1").expect("the contract is WIT");
        let world = match package {
            None => resolve.select_world(&[contract], Some(world)).expect("the world exists"),
            Some((wit, interface)) => {
                resolve.push_str("package.wit", wit).expect("the package is WIT");
                let wider = format!(
                    "package test:wider; world wider {{ include hookwright:plugin/{world}@1.0.0; import {interface}; }}"
                );
                let wider = resolve.push_str("wider.wit", &wider).expect("the wider world is WIT");
                resolve.select_world(&[wider], None).expect("there is one world")
            }
        };
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the metadata can be embedded");
        module
    }

    /// Builds the component.
    pub(super) fn component(self) -> Vec<u8> {
        let mut encoder =
            ComponentEncoder::default().module(&self.module()).expect("the module fits its world");
        encoder.encode().expect("the component can be encoded")
    }
}

/// A mapper that returns this JSON text.
pub(super) fn returning(json: &str) -> Guest {
    let body = format!(
        "(i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (i32.const {})) (i32.const 1024)",
        json.len()
    );
    let data: String = json.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    Guest::mapper(&body).with(&format!(r#"(data (i32.const 2048) "{data}")"#))
}

/// A transformer that returns its draft after `change` has modified it.
/// Layout of the request at 1032: method 0, URL 8, headers 16, body 24 (kind), 28.
pub(super) fn changing(change: &str) -> Guest {
    let body = format!(
        "(local $request i32) (local.set $request (i32.const 1032)) \
         (memory.copy (local.get $request) (i32.add (local.get $args) (i32.const 40)) (i32.const 36)) \
         (i32.store8 (i32.const 1028) (i32.const 1)) {change} (i32.const 1024)"
    );
    Guest::transformer(&body)
}
