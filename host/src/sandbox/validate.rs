//! Checks a component before it is compiled: validity, complexity, imports and exports.
//!
//! wasmparser's own limits (a million functions of 7.6 MB each) are for browsers. Compile time depends mostly on the
//! size of the largest functions, so they have their own limit. The largest function of QuickJS has about 60 KB, that
//! of SpiderMonkey about 300 KB.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::complexity::ComplexityCounter;
use super::limits::{Count, Limits, Size, shortened};
use super::{Refusal, SandboxError, advice, v1, wasi};

/// Maximum number of functions in all modules.
const MAX_FUNCTIONS: u64 = 100_000;
/// Maximum size of a function body, in bytes.
const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// Maximum number of local variables of a function.
const MAX_LOCALS: u64 = 20_000;
/// Maximum number of core modules.
const MAX_MODULES: u64 = 64;
/// Maximum number of nested components.
const MAX_COMPONENTS: u64 = 256;

/// Maximum number of imports: enough for all interfaces in several versions.
const MAX_IMPORTS: usize = 256;
/// Maximum number of exports that are kept.
const MAX_EXPORTS: usize = 64;
/// Maximum length of an export's name, in bytes.
const MAX_NAME: usize = 200;

/// Names of a component's imports and exports.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) imports: Vec<String>,
    /// The first [`MAX_EXPORTS`], shortened.
    pub(super) exports: Vec<String>,
}

impl Shape {
    /// Checks a shape received from the compiler process.
    ///
    /// # Errors
    /// If [`component`] cannot have returned it.
    pub(super) fn checked(self) -> Result<Self, SandboxError> {
        let is_known = self.imports.len() <= MAX_IMPORTS
            && self.imports.iter().all(|import| import.len() <= MAX_NAME && check_import(import).is_ok())
            && self.exports.len() <= MAX_EXPORTS
            && self.exports.iter().all(|export| export.len() <= MAX_NAME);
        if is_known {
            return Ok(self);
        }
        let message = "the compiler process reported imports or exports that no plugin can have";
        Err(SandboxError::Compiler(std::io::Error::other(message)))
    }
}

/// Checks a component and returns its imports and exports.
///
/// # Errors
/// If it is invalid, too complex, or violates the contract.
pub(super) fn component(bytes: &[u8], features: WasmFeatures, limits: &Limits) -> Result<Shape, Refusal> {
    // Before the validator allocates anything.
    check_complexity(bytes)?;
    let mut shape = shape(bytes, features, limits)?;
    at_most("imports", shape.imports.len() as u64, MAX_IMPORTS as u64)?;
    for import in &shape.imports {
        check_import(import)?;
    }
    check_roles(&shape.exports)?;
    shape.exports.truncate(MAX_EXPORTS);
    for export in &mut shape.exports {
        *export = shortened(export, MAX_NAME);
    }
    Ok(shape)
}

fn check_complexity(bytes: &[u8]) -> Result<(), Refusal> {
    let invalid = |error: wasmparser::BinaryReaderError| Refusal::Invalid(error.to_string());
    let mut counter = ComplexityCounter::default();
    for payload in Parser::new(0).parse_all(bytes) {
        counter.section(&payload.map_err(invalid)?).map_err(invalid)??;
    }
    Ok(())
}

fn shape(bytes: &[u8], features: WasmFeatures, limits: &Limits) -> Result<Shape, Refusal> {
    let invalid = |error: wasmparser::BinaryReaderError| Refusal::Invalid(error.to_string());
    let mut validator = Validator::new_with_features(features);
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    let mut shape = Shape::default();
    let mut counts = Counts::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match &payload {
            Payload::Version { encoding, .. } => {
                depth += 1;
                counts.begin(*encoding)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    counts.instance(&instance.map_err(invalid)?, limits)?;
                }
            }
            Payload::CodeSectionEntry(body) => counts.function(body).map_err(invalid)??,
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    check_memory(memory.map_err(invalid)?.initial, limits)?;
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    check_table(table.map_err(invalid)?.ty.initial, limits)?;
                }
            }
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports.clone() {
                    shape.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports.clone() {
                    shape.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(invalid)? {
            let mut function = function.into_validator(std::mem::take(&mut allocations));
            function.validate(&body).map_err(invalid)?;
            allocations = function.into_allocations();
        }
    }
    Ok(shape)
}

#[derive(Default)]
struct Counts {
    functions: u64,
    modules: u64,
    instances: u64,
    components: u64,
}

impl Counts {
    fn begin(&mut self, encoding: Encoding) -> Result<(), Refusal> {
        match encoding {
            Encoding::Module => {
                self.modules += 1;
                at_most("core modules", self.modules, MAX_MODULES)
            }
            Encoding::Component => {
                self.components += 1;
                at_most("components", self.components, MAX_COMPONENTS)
            }
        }
    }

    /// Counts instances of core modules. The pool would refuse too many, but only after compilation.
    fn instance(&mut self, instance: &wasmparser::Instance<'_>, limits: &Limits) -> Result<(), Refusal> {
        self.instances += u64::from(matches!(instance, wasmparser::Instance::Instantiate { .. }));
        at_most("instances of core modules", self.instances, limits.core_instances.into())
    }

    fn function(&mut self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<Result<(), Refusal>> {
        self.functions += 1;
        let bytes = body.range().len();
        if bytes > MAX_FUNCTION_BYTES {
            return Ok(Err(Refusal::TooComplex(format!(
                "one of its functions has {} bytes; the limit is {}",
                Count(bytes as u64),
                Size(MAX_FUNCTION_BYTES)
            ))));
        }
        let mut locals = 0;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        Ok(at_most("functions", self.functions, MAX_FUNCTIONS)
            .and_then(|()| at_most("local variables in one function", locals, MAX_LOCALS)))
    }
}

fn at_most(what: &str, found: u64, max: u64) -> Result<(), Refusal> {
    if found <= max {
        return Ok(());
    }
    Err(Refusal::TooComplex(format!("it has {} {what}; the limit is {}", Count(found), Count(max))))
}

fn check_memory(pages: u64, limits: &Limits) -> Result<(), Refusal> {
    let bytes = usize::try_from(pages.saturating_mul(64 << 10)).unwrap_or(usize::MAX);
    if bytes <= limits.memory_bytes {
        return Ok(());
    }
    Err(Refusal::TooComplex(format!(
        "its initial memory has {}; the limit is {}",
        Size(bytes),
        Size(limits.memory_bytes)
    )))
}

fn check_table(elements: u64, limits: &Limits) -> Result<(), Refusal> {
    if elements <= limits.table_elements as u64 {
        return Ok(());
    }
    Err(Refusal::TooComplex(format!(
        "one of its initial tables has {} elements; the limit is {}",
        Count(elements),
        Count(limits.table_elements as u64)
    )))
}

fn check_import(import: &str) -> Result<(), Refusal> {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let package = interface.split('/').next().unwrap_or_default();
    let known = match package {
        "hookwright:plugin" => {
            v1::host::INTERFACES
                .iter()
                .any(|known| known.split_once('@').is_some_and(|(n, _)| n == interface))
                && version.starts_with("1.")
        }
        "wasi:http" => {
            return Err(Refusal::Import(format!(
                "the plugin imports `{import}`, but plugins have no network: return the request, and the engine sends it; if \
                 the toolchain adds the import, build without network support"
            )));
        }
        "wasi:sockets" => version.starts_with("0.2."),
        _ => wasi::INTERFACES.contains(&interface) && version.starts_with("0.2."),
    };
    if known {
        return Ok(());
    }
    Err(Refusal::Import(format!(
        "the plugin imports `{import}`, which the engine does not provide; plugins can import {} and an inert WASI 0.2 \
         (cli, clocks, random, io, filesystem, sockets)",
        v1::host::INTERFACES.map(|name| format!("`{name}`")).join(", ")
    )))
}

/// Interface names of the roles, without version.
const ROLES: [&str; 3] =
    ["hookwright:plugin/filter", "hookwright:plugin/mapper", "hookwright:plugin/transformer"];

fn check_roles(exports: &[String]) -> Result<(), Refusal> {
    let is_role = |export: &String| {
        export
            .split_once('@')
            .is_some_and(|(name, version)| ROLES.contains(&name) && version.starts_with("1."))
    };
    if exports.iter().any(is_role) {
        return Ok(());
    }
    let found = match exports {
        [] => "nothing".to_owned(),
        some => {
            let names: Vec<_> =
                some.iter().take(8).map(|name| format!("`{}`", shortened(name, MAX_NAME))).collect();
            let more = if some.len() > 8 { ", …" } else { "" };
            let similar = some
                .iter()
                .find_map(|export| advice::similar_interface(export).map(|similar| (export, similar)));
            let hint = similar.map_or_else(String::new, |(export, similar)| {
                format!("; did you mean `{similar}` instead of `{}`?", shortened(export, MAX_NAME))
            });
            names.join(", ") + more + &hint
        }
    };
    Err(Refusal::NoRole(format!(
        "a plugin must export at least one of {}; this one exports {found}",
        ROLES.map(|role| format!("`{role}@1.0.0`")).join(", ")
    )))
}
