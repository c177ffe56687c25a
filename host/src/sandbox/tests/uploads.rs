//! What is taken, what is refused, and in which words.

use super::guest::{ACCEPT, Guest};
use super::*;
use crate::domain::plugin::Role;

#[tokio::test]
async fn a_component_and_a_core_module_with_a_type_are_taken() {
    let world = World::new();
    let guest = || Guest::filter(ACCEPT).log();
    for wasm in [guest().component(), guest().module()] {
        let inspected = world.sandbox.inspect(Bytes::from(wasm.clone())).await.unwrap();
        assert_eq!(inspected.digest, Digest::of(&wasm));
        assert_eq!(inspected.roles, [Role::Filter]);
        assert_eq!(inspected.size_bytes, wasm.len() as u64);
        assert!(
            inspected.imports.contains(&"hookwright:plugin/log@1.0.0".to_owned()),
            "{:?}",
            inspected.imports
        );
    }
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = Guest::filter(ACCEPT).component();
    let engine = engine::build(&limits(), 1).unwrap();
    let many_locals = format!("(func (local {}))", "i32 ".repeat(30_000));
    let large = format!("(func {})", "(drop (i64.const 0x7fffffffffffffff))".repeat(110_000));
    vec![
        ("nothing", Vec::new(), "the upload is empty"),
        ("too much", vec![0; (32 << 20) + 1], "a plugin may have 32 MiB"),
        ("compiled code", engine.precompile_component(&good).unwrap(), "this is compiled code"),
        ("text", b"  (component)".to_vec(), "text format"),
        ("a script", b"export function".to_vec(), "it begins with \"export funct\""),
        ("a cut-off header", b"\0asm".to_vec(), "cut off"),
        ("a cut-off component", good[..good.len() - 20].to_vec(), "not valid here"),
        (
            "a module without a type",
            wat("(module (func (export \"f\")))"),
            "a core module without a component type",
        ),
        ("no exports", wat("(component)"), "this one exports nothing"),
        (
            "none of the roles",
            wat(r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f"))) (export "run" (func $f)))"#),
            "this one exports `run`",
        ),
        (
            "a role with another type",
            wat(r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f"))) (instance $r (export "accept" (func $f)))
                (export "hookwright:plugin/filter@1.0.0" (instance $r)))"#),
            "don't have the types of hookwright:plugin@1.0.0",
        ),
        (
            "a role without its function",
            wat(r#"(component (instance $r) (export "hookwright:plugin/filter@1.0.0" (instance $r)))"#),
            "a role's function is missing",
        ),
        (
            "HTTP",
            importing("wasi:http/outgoing-handler@0.2.3"),
            "it imports `wasi:http/outgoing-handler@0.2.3`, but plugins have no network",
        ),
        (
            "an unknown interface",
            importing("acme:thing/api@1.0.0"),
            "it imports `acme:thing/api@1.0.0`, which is not offered",
        ),
        (
            "a later version",
            importing("hookwright:plugin/log@2.0.0"),
            "which is not offered; plugins may import",
        ),
        (
            "an import with another type",
            wat(r#"(component (import "hookwright:plugin/log@1.0.0" (instance (export "write" (func))))
                (instance $r) (export "hookwright:plugin/filter@1.0.0" (instance $r)))"#),
            "hookwright:plugin/log",
        ),
        (
            "too many locals",
            Guest::filter(ACCEPT).with(&many_locals).component(),
            "30,000 local variables in one function",
        ),
        (
            "too large a function",
            Guest::filter(ACCEPT).with(&large).component(),
            "one of its functions has 1,",
        ),
        ("threads", wat("(component (core module (memory 1 1 shared)))"), "not valid here"),
        ("64-bit memory", wat("(component (core module (memory i64 1)))"), "not valid here"),
        (
            "a trap at the start",
            Guest::filter(ACCEPT).with("(func $s (unreachable)) (start $s)").component(),
            "fails when it is started",
        ),
        (
            "an endless start",
            Guest::filter(ACCEPT).with("(func $s (loop $a (br $a))) (start $s)").component(),
            "it used up its 5,000,000 units of fuel",
        ),
        (
            "too much memory at the start",
            Guest::filter(ACCEPT).memory(r#"(memory (export "memory") 200)"#).component(),
            "it asks for 12,800 KiB of memory when it starts; a plugin may have 8 MiB",
        ),
        (
            "too many instances",
            wat(&format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(65))),
            "it has 65 instances of core modules; 64 is the most",
        ),
        (
            "too large a table at the start",
            Guest::filter(ACCEPT).with("(table $t 100000 funcref)").component(),
            "it asks for a table of 100,000 elements when it starts; a plugin may have 1,000",
        ),
    ]
}

/// A component that imports this, empty, and nothing else.
fn importing(interface: &str) -> Vec<u8> {
    wat(&format!(r#"(component (import "{interface}" (instance)))"#))
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_in_words() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (name, wasm, words) in refused() {
        let error = world.sandbox.inspect(Bytes::from(wasm)).await.expect_err(name);
        if !error.to_string().contains(words) || matches!(error, UploadError::Sandbox(_)) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(files_in(&world.dir.path().join("cache")), ["key"], "nothing that was compiled is left");
}

fn files_in(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn compiled_code_is_found_again_on_disk() {
    let world = World::new();
    let digest = world.upload(Guest::filter(ACCEPT).component()).await;
    let again = World::start(&world.dir, &world.store, limits(), 1);
    again.run(job(1, &[digest])).await.unwrap();
    assert_eq!(*world.store.reads.lock().unwrap(), 0);
}

#[tokio::test]
async fn compiled_code_that_was_tampered_with_is_compiled_anew() {
    let world = World::new();
    let digest = world.upload(Guest::filter(ACCEPT).component()).await;
    let cache = world.dir.path().join("cache");
    let mut code = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let code = code.find(|path| path.extension().is_some_and(|e| e == "cwasm")).unwrap();
    let good = std::fs::read(&code).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::remove_file(&code).unwrap(); // It is mapped: never written to.
    std::fs::write(&code, &bad).unwrap();
    let again = World::start(&world.dir, &world.store, limits(), 1);
    again.run(job(1, &[digest])).await.unwrap();
    assert_eq!(*world.store.reads.lock().unwrap(), 1);
    assert_eq!(std::fs::read(&code).unwrap(), good);
}

#[tokio::test]
async fn nobody_else_can_read_the_cache_or_its_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let cache = world.dir.path().join("cache");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("key")), 0o600);
}

#[tokio::test]
async fn a_plugin_that_is_gone_is_a_fault_and_not_an_error() {
    let world = World::new();
    let run = world.run(1, &[Digest([7; 32])]).await;
    let PipelineEnd::Fault { step: 0, fault } = run.end else { panic!("{run:?}") };
    assert_eq!(fault.kind, crate::domain::FaultKind::Unavailable);
}
