//! The standard plugins: they ship in the binary and run in the same sandbox as all others.

use std::sync::LazyLock;

use crate::domain::{Digest, PluginName, PluginVersion, Role, UnixMillis};

/// One standard plugin.
#[derive(Debug)]
pub struct StandardPlugin {
    /// Its name, which tenants cannot use.
    pub name: &'static str,
    /// What it exports.
    pub role: Role,
    /// The interfaces that it imports.
    pub imports: &'static [&'static str],
    /// The component.
    pub wasm: &'static [u8],
    digest: Digest,
}

impl StandardPlugin {
    /// SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// As a plugin version: number 1, of no tenant.
    ///
    /// # Panics
    /// Never: the names are checked by a test.
    #[must_use]
    pub fn version(&self) -> PluginVersion {
        PluginVersion {
            tenant: None,
            name: self.name.parse::<PluginName>().expect("a standard plugin's name keeps the rules"),
            version: 1,
            digest: self.digest,
            roles: vec![self.role],
            imports: self.imports.iter().map(|import| (*import).to_owned()).collect(),
            size_bytes: self.wasm.len() as u64,
            created_at: UnixMillis(0),
        }
    }
}

const BUDGET: &str = "hookwright:plugin/budget@1.0.0";
const CONFIG: &str = "hookwright:plugin/config@1.0.0";
const LOG: &str = "hookwright:plugin/log@1.0.0";
const TYPES: &str = "hookwright:plugin/types@1.0.0";

/// A standard plugin from its file in `plugins/dist`. Roles and imports are given here so that a start need not inspect it;
/// a test compares them with the component.
macro_rules! standard {
    ($name:literal, $role:ident, $imports:expr) => {{
        let wasm: &[u8] = include_bytes!(concat!("../../../plugins/dist/", $name, ".wasm"));
        StandardPlugin { name: $name, role: Role::$role, imports: $imports, wasm, digest: Digest::of(wasm) }
    }};
}

/// All of them, by name.
pub static STANDARD_PLUGINS: LazyLock<Vec<StandardPlugin>> = LazyLock::new(|| {
    vec![
        standard!("apizee-envelope", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("body-template", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("cloudevents", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("event-filter", Filter, &[CONFIG, LOG, TYPES]),
        standard!("field-map", Mapper, &[CONFIG, LOG, TYPES]),
        standard!("javascript", Transformer, &[CONFIG, BUDGET, LOG, TYPES]),
        standard!("project-envelope", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("webitel-auth", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("webitel-body", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("webitel-filter", Filter, &[CONFIG, LOG, TYPES]),
        standard!("webitel-headers", Transformer, &[CONFIG, LOG, TYPES]),
        standard!("webitel-map", Mapper, &[CONFIG, LOG, TYPES]),
    ]
});
