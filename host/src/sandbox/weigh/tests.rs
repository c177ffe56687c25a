//! What is counted, and where it is too much.

use super::*;

fn weigh(wat: &str) -> Result<Weigher, String> {
    let bytes = wat::parse_str(wat).unwrap();
    let mut weigher = Weigher::default();
    for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
        let counted = weigher.section(&payload.unwrap()).unwrap();
        counted.map_err(|refusal| crate::sandbox::UploadError::from(refusal).to_string())?;
    }
    Ok(weigher)
}

fn repeat(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// A component whose exports are `exports` functions, and `instances` instances of it.
fn instances(exports: usize, instances: usize) -> String {
    format!(
        r#"(component
            (component $many (import "f" (func $f)) {})
            (import "f" (func $f)) {})"#,
        repeat(exports, |at| format!(r#"(export "f{at}" (func $f))"#)),
        "(instance (instantiate $many (with \"f\" (func $f))))".repeat(instances),
    )
}

/// An instance type with `exports` functions, which each of `components` nested components imports `imports` times.
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

/// Components of which each instantiates the one before it twice.
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
fn what_multiplies_is_counted_as_often_as_it_is_used() {
    let used = "entries in its types and instances, each counted as often as it is used";
    let expanded = "entries when its nested components are expanded";
    for (name, wat, says) in [
        ("instances of many exports", instances(10_000, 900), used),
        ("uses of a large type", imports_of_a_type(40_000, 400, 5), used),
        ("components in components", doubling(60), expanded),
    ] {
        let refused = weigh(&wat).err().unwrap_or_else(|| panic!("{name} is taken"));
        assert!(refused.contains(says), "{name}: {refused}");
    }
    for wat in [instances(100, 90), imports_of_a_type(400, 40, 5), doubling(10)] {
        weigh(&wat).unwrap();
    }
}

#[test]
fn what_nobody_can_count_is_refused() {
    let wat = r#"(component (import "c" (component $c)) (instance (instantiate $c)))"#;
    let refused = weigh(wat).err().unwrap();
    assert!(refused.contains("a component that it imports"), "{refused}");
}

#[test]
fn the_engines_own_plugins_are_far_below_the_limits() {
    for plugin in crate::directory::STANDARD_PLUGINS.iter() {
        let mut weigher = Weigher::default();
        for payload in wasmparser::Parser::new(0).parse_all(plugin.wasm) {
            weigher.section(&payload.unwrap()).unwrap().unwrap();
        }
        let expanded = weigher.scopes[0].expanded;
        assert!(weigher.validated < MAX_VALIDATED / 100, "{}: {}", plugin.name, weigher.validated);
        assert!(expanded < MAX_EXPANDED / 100, "{}: {expanded}", plugin.name);
        assert!(weigher.core < MAX_CORE_ENTRIES / 50, "{}: {}", plugin.name, weigher.core);
    }
}
