//! Counts and limits.

use super::*;

fn count(wat: &str) -> Result<ComplexityCounter, String> {
    let bytes = wat::parse_str(wat).unwrap();
    let mut counter = ComplexityCounter::default();
    for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
        let counted = counter.section(&payload.unwrap()).unwrap();
        counted.map_err(|refusal| crate::sandbox::UploadError::from(refusal).to_string())?;
    }
    Ok(counter)
}

fn repeat(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// A component that exports `exports` functions, and `instances` instances of it.
fn instances(exports: usize, instances: usize) -> String {
    format!(
        r#"(component
            (component $many (import "f" (func $f)) {})
            (import "f" (func $f)) {})"#,
        repeat(exports, |at| format!(r#"(export "f{at}" (func $f))"#)),
        "(instance (instantiate $many (with \"f\" (func $f))))".repeat(instances),
    )
}

/// An instance type with `exports` functions that each of `components` nested components imports `imports` times.
fn imports_of_a_type(exports: usize, imports: usize, components: usize) -> String {
    format!(
        "(component (type $many (instance {})) {})",
        repeat(exports, |at| format!(r#"(export "f{at}" (func))"#)),
        repeat(components, |_| {
            let imports = repeat(imports, |at| format!(r#"(import "i{at}" (instance (type $t)))"#));
            format!("(component (alias outer 1 $many (type $t)) {imports})")
        })
    )
}

/// A chain of components: each instantiates the previous one twice.
fn doubling(depth: usize) -> String {
    format!(
        "(component (component $c0) {} (instance (instantiate $c{depth})))",
        repeat(depth, |at| {
            let inner = "(instance (instantiate $inner))".repeat(2);
            format!("(component $c{} (alias outer 1 $c{at} (component $inner)) {inner})", at + 1)
        })
    )
}

#[test]
fn repeated_use_is_counted() {
    let used = "entries in its types and instances, counted once per use";
    let expanded = "entries after its nested components are expanded";
    for (name, wat, says) in [
        ("instances of many exports", instances(10_000, 900), used),
        ("uses of a large type", imports_of_a_type(40_000, 400, 5), used),
        ("components in components", doubling(60), expanded),
    ] {
        let refused = count(&wat).err().unwrap_or_else(|| panic!("{name}: accepted"));
        assert!(refused.contains(says), "{name}: {refused}");
    }
    for wat in [instances(100, 90), imports_of_a_type(400, 40, 5), doubling(10)] {
        count(&wat).unwrap();
    }
}

#[test]
fn an_instance_of_an_imported_component_is_refused() {
    let wat = r#"(component (import "c" (component $c)) (instance (instantiate $c)))"#;
    let refused = count(wat).err().unwrap();
    assert!(refused.contains("a component that it imports"), "{refused}");
}

#[test]
fn standard_plugins_are_far_below_the_limits() {
    for plugin in crate::directory::STANDARD_PLUGINS.iter() {
        let mut counter = ComplexityCounter::default();
        for payload in wasmparser::Parser::new(0).parse_all(plugin.wasm) {
            counter.section(&payload.unwrap()).unwrap().unwrap();
        }
        let expanded = counter.scopes[0].expanded;
        assert!(counter.validated < MAX_VALIDATED / 100, "{}: {}", plugin.name, counter.validated);
        assert!(expanded < MAX_EXPANDED / 100, "{}: {expanded}", plugin.name);
        assert!(counter.core < MAX_CORE_ENTRIES / 50, "{}: {}", plugin.name, counter.core);
    }
}
