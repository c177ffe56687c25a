//! Bounds the work that a component causes in the validator and the compiler, beyond its size.
//!
//! A component of a hundred kilobytes can declare ten thousand exports and instantiate them nine hundred times. Each
//! instance copies the exports, and each use of an instance type visits all of its members. The compiler also expands
//! nested components once per instantiation. This module counts both in one pass over the sections before validation.
//! Invalid indices count as 0; the validator reports them.
//!
//! It counts *entries* (declarations, exports, imports, aliases, instances):
//! - that the validator copies or compares, from the sizes of the used types and instances ([`MAX_VALIDATED`]);
//! - that remain after all instantiations are expanded, which the engine loads too ([`MAX_EXPANDED`]).

use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentExport, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, ComponentTypeRef, CoreType, Encoding,
    FromReader, Instance, InstanceTypeDeclaration, Payload, SectionLimited, TypeBounds,
};

use super::Refusal;
use super::limits::Count;

/// Maximum number of entries that the validator copies or compares. Components from Python have about 4,000.
const MAX_VALIDATED: u64 = 500_000;
/// Maximum number of entries after expansion.
const MAX_EXPANDED: u64 = 100_000;
/// Maximum number of types, imports, exports, globals, segments and table entries in all core modules.
const MAX_CORE_ENTRIES: u64 = 500_000;

type Read<T> = wasmparser::Result<T>;

/// Running counts.
#[derive(Default)]
pub(super) struct ComplexityCounter {
    /// The enclosing modules and components, outermost first.
    scopes: Vec<Scope>,
    validated: u64,
    core: u64,
    /// Whether an imported component is instantiated, whose expanded size is unknown.
    foreign: bool,
}

/// Index spaces of a component, or of a type with declarations, with the weight of each entry.
#[derive(Default)]
struct Scope {
    is_component: bool,
    types: Vec<u64>,
    instances: Vec<u64>,
    components: Vec<Nested>,
    /// Weight of an instance of this component or type. Imports count too, which is an upper bound.
    exports: u64,
    /// Its entries, and the expanded entries of each component that it instantiates.
    expanded: u64,
}

#[derive(Clone, Copy)]
struct Nested {
    exports: u64,
    /// `None` if it is imported or an export of an instance.
    expanded: Option<u64>,
}

impl Default for Nested {
    fn default() -> Self {
        Self { exports: 0, expanded: Some(0) }
    }
}

impl ComplexityCounter {
    /// Counts one section.
    ///
    /// # Errors
    /// The outer error if the section cannot be parsed; the inner error if a limit is exceeded.
    pub(super) fn section(&mut self, payload: &Payload<'_>) -> Read<Result<(), Refusal>> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.scopes
                    .push(Scope { is_component: *encoding == Encoding::Component, ..Scope::default() });
            }
            Payload::End(_) => self.end(),
            Payload::ComponentTypeSection(types) => each(types, |ty| self.component_type(&ty))?,
            Payload::ComponentImportSection(imports) => each(imports, |import| self.reference(import.ty))?,
            Payload::ComponentExportSection(exports) => each(exports, |export| self.export(&export))?,
            Payload::ComponentInstanceSection(instances) => each(instances, |made| self.instance(&made))?,
            Payload::ComponentAliasSection(aliases) => each(aliases, |alias| self.alias(&alias))?,
            Payload::ComponentCanonicalSection(functions) => self.entries(functions.count().into()),
            Payload::CoreTypeSection(types) => each(types, |ty| self.entries(core_type(&ty)))?,
            Payload::InstanceSection(instances) => each(instances, |made| {
                self.entries(match made {
                    Instance::Instantiate { args, .. } => 1 + args.len() as u64,
                    Instance::FromExports(exports) => 1 + exports.len() as u64,
                });
            })?,
            _ => self.core_section(payload)?,
        }
        Ok(self.check())
    }

    fn core_section(&mut self, payload: &Payload<'_>) -> Read<()> {
        self.core += match payload {
            Payload::TypeSection(section) => section.count().into(),
            Payload::ImportSection(section) => section.count().into(),
            Payload::ExportSection(section) => section.count().into(),
            Payload::GlobalSection(section) => section.count().into(),
            Payload::DataSection(section) => section.count().into(),
            Payload::ElementSection(section) => {
                let mut entries = 0;
                for element in section.clone() {
                    entries += 1 + match element?.items {
                        wasmparser::ElementItems::Functions(items) => u64::from(items.count()),
                        wasmparser::ElementItems::Expressions(_, items) => u64::from(items.count()),
                    };
                }
                entries
            }
            _ => 0,
        };
        Ok(())
    }

    fn check(&self) -> Result<(), Refusal> {
        let expanded = self.scopes.first().map_or(0, |root| root.expanded);
        for (what, found, max) in [
            ("entries in its types and instances, counted once per use", self.validated, MAX_VALIDATED),
            ("entries after its nested components are expanded", expanded, MAX_EXPANDED),
            (
                "types, imports, exports, globals and table entries in its core modules",
                self.core,
                MAX_CORE_ENTRIES,
            ),
        ] {
            if found > max {
                let (found, max) = (Count(found), Count(max));
                return Err(Refusal::TooComplex(format!("it has {found} {what}; the limit is {max}")));
            }
        }
        if self.foreign {
            return Err(Refusal::TooComplex(
                "it instantiates a component that it imports or that an instance exports: nest that component instead"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn end(&mut self) {
        // Keep the root so that its sums can be checked.
        if self.scopes.len() < 2 {
            return;
        }
        let Some(ended) = self.scopes.pop() else { return };
        if ended.is_component {
            let nested = Nested { exports: ended.exports, expanded: Some(ended.expanded) };
            self.scope().components.push(nested);
        }
    }

    /// The innermost scope.
    fn scope(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// The scope `count` levels outside the innermost one.
    fn outer(&self, count: u32) -> Option<&Scope> {
        let innermost = self.scopes.len().checked_sub(1)?;
        self.scopes.get(innermost.checked_sub(usize::try_from(count).ok()?)?)
    }

    /// Counts entries that are copied or compared once.
    fn entries(&mut self, count: u64) {
        self.copies(count);
        self.expands(count);
    }

    fn copies(&mut self, count: u64) {
        self.validated = self.validated.saturating_add(count);
    }

    fn expands(&mut self, count: u64) {
        let scope = self.scope();
        scope.expanded = scope.expanded.saturating_add(count);
    }

    fn component_type(&mut self, ty: &ComponentType<'_>) {
        let weight = match ty {
            ComponentType::Defined(defined) => 1 + members(defined),
            ComponentType::Func(function) => 1 + function.params.len() as u64,
            ComponentType::Resource { .. } => 1,
            ComponentType::Component(declarations) => self.declarations(|this| {
                for declaration in declarations {
                    match declaration {
                        ComponentTypeDeclaration::CoreType(ty) => this.declared(core_type(ty)),
                        ComponentTypeDeclaration::Type(ty) => this.component_type(ty),
                        ComponentTypeDeclaration::Alias(alias) => this.alias(alias),
                        ComponentTypeDeclaration::Export { ty, .. } => this.reference(*ty),
                        ComponentTypeDeclaration::Import(import) => this.reference(import.ty),
                    }
                }
            }),
            ComponentType::Instance(declarations) => self.declarations(|this| {
                for declaration in declarations {
                    match declaration {
                        InstanceTypeDeclaration::CoreType(ty) => this.declared(core_type(ty)),
                        InstanceTypeDeclaration::Type(ty) => this.component_type(ty),
                        InstanceTypeDeclaration::Alias(alias) => this.alias(alias),
                        InstanceTypeDeclaration::Export { ty, .. } => this.reference(*ty),
                    }
                }
            }),
        };
        self.declared(weight);
        self.scope().types.push(weight);
    }

    /// Returns the weight of a type with declarations. `declare` visits them in a new scope.
    fn declarations(&mut self, declare: impl FnOnce(&mut Self)) -> u64 {
        self.scopes.push(Scope::default());
        declare(self);
        self.scopes.pop().map_or(1, |scope| scope.exports.saturating_add(1))
    }

    /// Counts an entry that is part of the enclosing type or component.
    fn declared(&mut self, weight: u64) {
        self.entries(weight);
        let scope = self.scope();
        scope.exports = scope.exports.saturating_add(weight);
    }

    /// Counts an import, or an export of a type.
    fn reference(&mut self, ty: ComponentTypeRef) {
        let scope = self.scope();
        let weight = match ty {
            ComponentTypeRef::Module(_) | ComponentTypeRef::Func(_) | ComponentTypeRef::Value(_) => 0,
            ComponentTypeRef::Type(TypeBounds::Eq(index)) => {
                scope.types.push(at(&scope.types, index));
                0
            }
            ComponentTypeRef::Type(TypeBounds::SubResource) => {
                scope.types.push(1);
                0
            }
            ComponentTypeRef::Instance(index) => {
                let weight = at(&scope.types, index);
                scope.instances.push(weight);
                weight
            }
            ComponentTypeRef::Component(index) => {
                let weight = at(&scope.types, index);
                scope.components.push(Nested { exports: weight, expanded: None });
                weight
            }
        };
        self.declared(weight.saturating_add(1));
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                let weight = at(&self.scope().instances, instance_index);
                self.push(kind, weight, None);
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
            ComponentAlias::Outer { kind, count, index } => match kind {
                ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::CoreType => {}
                ComponentOuterAliasKind::Type => {
                    let weight = self.outer(count).map_or(0, |scope| at(&scope.types, index));
                    self.scope().types.push(weight);
                }
                ComponentOuterAliasKind::Component => {
                    let found =
                        self.outer(count).map_or(Nested::default(), |scope| at(&scope.components, index));
                    self.scope().components.push(found);
                }
            },
        }
        self.declared(1);
    }

    /// Returns the weight and the expanded size of the entry at an index.
    fn weight(&mut self, kind: ComponentExternalKind, index: u32) -> (u64, Option<u64>) {
        let scope = self.scope();
        match kind {
            ComponentExternalKind::Module | ComponentExternalKind::Func | ComponentExternalKind::Value => {
                (0, None)
            }
            ComponentExternalKind::Type => (at(&scope.types, index), None),
            ComponentExternalKind::Instance => (at(&scope.instances, index), None),
            ComponentExternalKind::Component => {
                let nested = at(&scope.components, index);
                (nested.exports, nested.expanded)
            }
        }
    }

    fn push(&mut self, kind: ComponentExternalKind, weight: u64, expanded: Option<u64>) {
        let scope = self.scope();
        match kind {
            ComponentExternalKind::Module | ComponentExternalKind::Func | ComponentExternalKind::Value => {}
            ComponentExternalKind::Type => scope.types.push(weight),
            ComponentExternalKind::Instance => scope.instances.push(weight),
            ComponentExternalKind::Component => scope.components.push(Nested { exports: weight, expanded }),
        }
    }

    fn export(&mut self, export: &ComponentExport<'_>) {
        let (weight, expanded) = self.weight(export.kind, export.index);
        self.push(export.kind, weight, expanded);
        let copied = if export.kind == ComponentExternalKind::Type { 0 } else { weight };
        self.declared(copied.saturating_add(1));
    }

    fn instance(&mut self, instance: &ComponentInstance<'_>) {
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let nested = at(&self.scope().components, *component_index);
                self.foreign |= nested.expanded.is_none();
                self.copies(nested.exports);
                self.expands(nested.expanded.unwrap_or(0));
                for arg in args {
                    let (weight, _) = self.weight(arg.kind, arg.index);
                    self.copies(weight);
                }
                self.entries(1 + args.len() as u64);
                self.scope().instances.push(nested.exports);
            }
            ComponentInstance::FromExports(exports) => {
                let mut sum = 1_u64;
                for export in exports {
                    let (weight, _) = self.weight(export.kind, export.index);
                    sum = sum.saturating_add(weight).saturating_add(1);
                }
                self.entries(sum);
                self.scope().instances.push(sum);
            }
        }
    }
}

/// Returns the entry at `index`, or the default if the index is invalid, which the validator reports.
fn at<T: Copy + Default>(space: &[T], index: u32) -> T {
    usize::try_from(index).ok().and_then(|index| space.get(index)).copied().unwrap_or_default()
}

fn members(defined: &ComponentDefinedType<'_>) -> u64 {
    let members = match defined {
        ComponentDefinedType::Record(fields) => fields.len(),
        ComponentDefinedType::Variant(cases) => cases.len(),
        ComponentDefinedType::Tuple(types) => types.len(),
        ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => names.len(),
        _ => 1,
    };
    members as u64
}

fn core_type(ty: &CoreType<'_>) -> u64 {
    match ty {
        CoreType::Rec(_) => 1,
        CoreType::Module(declarations) => 1 + declarations.len() as u64,
    }
}

fn each<'a, T: FromReader<'a>>(section: &SectionLimited<'a, T>, mut count: impl FnMut(T)) -> Read<()> {
    for entry in section.clone() {
        count(entry?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
