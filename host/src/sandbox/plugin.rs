//! A plugin that is compiled and linked, with its exports resolved.

use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store};

use crate::domain::Roles;
use crate::domain::plugin::Role;

use super::mapped::Mapped;
use super::state::State;
use super::v1::bindings::exports::hookwright::plugin::{filter, mapper, transformer};
use super::{v1, wasi};

/// Everything that is prepared once, so that a call only has to instantiate.
pub(super) struct Plugin {
    pub(super) pre: InstancePre<State>,
    pub(super) filter: Option<filter::GuestIndices>,
    pub(super) mapper: Option<mapper::GuestIndices>,
    pub(super) transformer: Option<transformer::GuestIndices>,
    /// Its mapped code; `None` if the code is only in memory.
    pub(super) code: Option<Mapped>,
}

/// The interfaces that plugins may import.
pub(super) struct Linker(wasmtime::component::Linker<State>);

impl Linker {
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut linker = wasmtime::component::Linker::new(engine);
        v1::host::add_to_linker(&mut linker)?;
        wasi::add_to_linker(&mut linker)?;
        Ok(Self(linker))
    }

    /// # Errors
    /// If the engine does not provide an import, or provides it with another type.
    pub(super) fn link_mapped(&self, code: Mapped) -> wasmtime::Result<Plugin> {
        let plugin = self.link(code.component())?;
        Ok(Plugin { code: Some(code), ..plugin })
    }

    /// # Errors
    /// See [`Self::link_mapped`].
    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<Plugin> {
        let with_sockets = wasi::sockets::denied(&self.0, component)?;
        let pre = with_sockets.as_ref().unwrap_or(&self.0).instantiate_pre(component)?;
        component.initialize_copy_on_write_image()?;
        Ok(Plugin {
            filter: filter::GuestIndices::new(&pre).ok(),
            mapper: mapper::GuestIndices::new(&pre).ok(),
            transformer: transformer::GuestIndices::new(&pre).ok(),
            pre,
            code: None,
        })
    }
}

impl Plugin {
    /// The exported roles, in the order in which a step runs them.
    pub(super) fn roles(&self) -> Roles {
        let exported = |role: &Role| match role {
            Role::Filter => self.filter.is_some(),
            Role::Mapper => self.mapper.is_some(),
            Role::Transformer => self.transformer.is_some(),
        };
        Role::ALL.into_iter().filter(exported).collect()
    }

    /// Creates an instance, which runs its start functions, and checks the types of its exports.
    pub(super) fn instantiate_once(
        &self,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Result<(), wasmtime::Error>> {
        let instance = self.pre.instantiate(&mut *store)?;
        let filter = self.filter.as_ref().map(|guest| guest.load(&mut *store, &instance).map(drop));
        let mapper = self.mapper.as_ref().map(|guest| guest.load(&mut *store, &instance).map(drop));
        let transformer = self.transformer.as_ref().map(|guest| guest.load(&mut *store, &instance).map(drop));
        Ok([filter, mapper, transformer].into_iter().flatten().collect())
    }
}
