//! Accepted and refused uploads, and the messages of refusals.

use super::guest::{ACCEPT, Guest};
use super::*;
use crate::domain::plugin::Role;

#[tokio::test]
async fn a_component_and_a_core_module_with_a_component_type_are_accepted() {
    let test = TestSandbox::new();
    let guest = || Guest::filter(ACCEPT).log();
    for wasm in [guest().component(), guest().module()] {
        let inspected = test.sandbox.inspect(TenantId(1), Bytes::from(wasm.clone())).await.unwrap();
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

/// An upload, and part of the expected message.
type Case = (&'static str, Vec<u8>, &'static str);

fn not_plugins() -> Vec<Case> {
    let good = Guest::filter(ACCEPT).component();
    let engine = engine::build(&limits(), 1).unwrap();
    vec![
        ("nothing", Vec::new(), "the upload is empty"),
        ("too much", vec![0; (32 << 20) + 1], "the limit is 32 MiB"),
        ("compiled code", engine.precompile_component(&good).unwrap(), "the upload is compiled code"),
        ("text", b"  (component)".to_vec(), "text format"),
        ("a script", b"export function".to_vec(), "it begins with \"export funct\""),
        ("a cut-off header", b"\0asm".to_vec(), "truncated"),
        ("a cut-off component", good[..good.len() - 20].to_vec(), "invalid WebAssembly"),
        (
            "a module without a type",
            wat("(module (func (export \"f\")))"),
            "a core module without a component type; it exports `f`",
        ),
        ("no exports", wat("(component)"), "this one exports nothing"),
        (
            "none of the roles",
            wat(r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f"))) (export "run" (func $f)))"#),
            "this one exports `run`",
        ),
        (
            "a role of nearly the right name",
            wat(r#"(component (instance $r) (export "hookwright:plugin/filters@1.0.0" (instance $r)))"#),
            "did you mean `hookwright:plugin/filter@1.0.0` instead of `hookwright:plugin/filters@1.0.0`?",
        ),
        (
            "a role with another type",
            wat(r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f"))) (instance $r (export "accept" (func $f)))
                (export "hookwright:plugin/filter@1.0.0" (instance $r)))"#),
            "do not match hookwright:plugin@1.0.0",
        ),
        (
            "a role without its function",
            wat(r#"(component (instance $r) (export "hookwright:plugin/filter@1.0.0" (instance $r)))"#),
            "the function of a role is missing",
        ),
    ]
}

fn unknown_imports() -> Vec<Case> {
    vec![
        (
            "HTTP",
            importing("wasi:http/outgoing-handler@0.2.3"),
            "the plugin imports `wasi:http/outgoing-handler@0.2.3`, but plugins have no network",
        ),
        (
            "an unknown interface",
            importing("acme:thing/api@1.0.0"),
            "the plugin imports `acme:thing/api@1.0.0`, which the engine does not provide",
        ),
        (
            "a later version",
            importing("hookwright:plugin/log@2.0.0"),
            "which the engine does not provide; plugins can import",
        ),
        (
            "an import with another type",
            wat(r#"(component (import "hookwright:plugin/log@1.0.0" (instance (export "write" (func))))
                (instance $r) (export "hookwright:plugin/filter@1.0.0" (instance $r)))"#),
            "hookwright:plugin/log",
        ),
    ]
}

fn beyond_limits() -> Vec<Case> {
    let many_locals = format!("(func (local {}))", "i32 ".repeat(30_000));
    let large = format!("(func {})", "(drop (i64.const 0x7fffffffffffffff))".repeat(110_000));
    vec![
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
        ("threads", wat("(component (core module (memory 1 1 shared)))"), "invalid WebAssembly"),
        ("64-bit memory", wat("(component (core module (memory i64 1)))"), "invalid WebAssembly"),
        (
            "a trap at the start",
            Guest::filter(ACCEPT).with("(func $s (unreachable)) (start $s)").component(),
            "cannot be instantiated",
        ),
        (
            "an endless start",
            Guest::filter(ACCEPT).with("(func $s (loop $a (br $a))) (start $s)").component(),
            "it used up its 5,000,000 units of fuel",
        ),
        (
            "too much memory at the start",
            Guest::filter(ACCEPT).memory(r#"(memory (export "memory") 200)"#).component(),
            "its initial memory has 12,800 KiB; the limit is 8 MiB",
        ),
        (
            "too many instances",
            wat(&format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(65))),
            "it has 65 instances of core modules; the limit is 64",
        ),
        (
            "too large a table at the start",
            Guest::filter(ACCEPT).with("(table $t 100000 funcref)").component(),
            "one of its initial tables has 100,000 elements; the limit is 1,000",
        ),
    ]
}

/// A component with one import, an empty instance.
fn importing(interface: &str) -> Vec<u8> {
    wat(&format!(r#"(component (import "{interface}" (instance)))"#))
}

#[tokio::test]
async fn an_upload_that_is_not_a_plugin_is_refused_with_the_reason() {
    let test = TestSandbox::new();
    let mut wrong = Vec::new();
    let cases = [not_plugins(), unknown_imports(), beyond_limits()];
    for (name, wasm, message) in cases.into_iter().flatten() {
        let error = test.sandbox.inspect(TenantId(1), Bytes::from(wasm)).await.expect_err(name);
        if !error.to_string().contains(message) || matches!(error, UploadError::Sandbox(_)) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(files_in(&test.dir.path().join("cache")), ["key"], "no compiled code remains");
}

fn files_in(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn compiled_code_is_loaded_from_disk() {
    let test = TestSandbox::new();
    let digest = test.upload(Guest::filter(ACCEPT).component()).await;
    let again = TestSandbox::start(&test.dir, &test.store, limits(), 1);
    again.run(job(1, &[digest])).await.unwrap();
    assert!(test.store.reads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn modified_code_is_compiled_again() {
    let test = TestSandbox::new();
    let digest = test.upload(Guest::filter(ACCEPT).component()).await;
    let cache = test.dir.path().join("cache");
    let mut code = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let code = code.find(|path| path.extension().is_some_and(|e| e == "cwasm")).unwrap();
    let good = std::fs::read(&code).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::remove_file(&code).unwrap(); // A mapped file must not be written to.
    std::fs::write(&code, &bad).unwrap();
    let again = TestSandbox::start(&test.dir, &test.store, limits(), 1);
    again.run(job(1, &[digest])).await.unwrap();
    assert_eq!(*test.store.reads.lock().unwrap(), [digest]);
    assert_eq!(std::fs::read(&code).unwrap(), good);
}

#[tokio::test]
async fn other_users_cannot_read_the_cache_or_its_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let test = TestSandbox::new();
    let cache = test.dir.path().join("cache");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("key")), 0o600);
}

#[tokio::test]
async fn a_deleted_plugin_is_a_fault_and_not_an_error() {
    let test = TestSandbox::new();
    let run = test.run(1, &[Digest([7; 32])]).await;
    let PipelineEnd::Fault { step: 0, fault } = run.end else { panic!("{run:?}") };
    assert_eq!(fault.kind, crate::domain::FaultKind::Unavailable);
}

/// A filter whose bytes depend on the number.
fn numbered(number: usize) -> Vec<u8> {
    Guest::filter(ACCEPT).with(&format!("(func (drop (i32.const {number})))")).component()
}

#[tokio::test]
async fn cold_plugins_of_one_tenant_do_not_delay_another_tenants_plugin() {
    let test = TestSandbox::new();
    let many: Vec<_> = (0..30).map(|number| test.keep(&numbered(number))).collect();
    let one = test.keep(&numbered(100));
    let heavy =
        futures_util::future::join_all(many.iter().map(|digest| test.run(1, std::slice::from_ref(digest))));
    let light = test.run(2, std::slice::from_ref(&one));
    futures_util::future::join(heavy, light).await;
    let reads = test.store.reads.lock().unwrap();
    let at = reads.iter().position(|digest| *digest == one).unwrap();
    assert!(at <= 4, "{at} plugins of the other tenant were compiled first");
    assert_eq!(reads.len(), 31, "each is compiled once");
}

#[tokio::test]
async fn existing_code_is_kept_when_the_same_bytes_are_refused() {
    let test = TestSandbox::new();
    let loops = "(func $s (local i32) (loop $a (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br_if $a (i32.lt_u (local.get 0) (i32.const 100000))))) (start $s)";
    let wasm = Guest::filter(ACCEPT).with(loops).component();
    test.upload(wasm.clone()).await;
    let before = files_in(&test.dir.path().join("cache"));
    let poor = Limits { fuel_base: 1_000, fuel_per_input_byte: 0, ..limits() };
    let sandbox = TestSandbox::start(&test.dir, &test.store, poor, 1);
    let refused = sandbox.inspect(TenantId(2), Bytes::from(wasm)).await.unwrap_err();
    assert!(matches!(refused, UploadError::Start { .. }), "{refused}");
    assert_eq!(files_in(&test.dir.path().join("cache")).len(), before.len());
}

#[tokio::test]
async fn deliveries_do_not_wait_for_plugins_that_were_compiled_in_the_background() {
    let test = TestSandbox::new();
    let digests: Vec<_> = (0..3).map(|number| test.keep(&numbered(number))).collect();
    test.sandbox.compile_ahead(digests.iter().map(|digest| (TenantId(1), *digest)).collect()).await;
    assert_eq!(test.store.reads.lock().unwrap().len(), 3);
    test.run(1, &digests).await;
    test.sandbox.compile_ahead(vec![(TenantId(1), digests[0])]).await;
    assert_eq!(test.store.reads.lock().unwrap().len(), 3, "all code existed");
}
