//! Bindings that `wit-bindgen` generates from the contract.
//!
//! There is one world per role, so that a component exports exactly its roles: the export macro of a world writes its
//! component type into the module, and `wit-component` merges these types. The common types and imports are in
//! [`base`].

#![allow(missing_docs, reason = "generated; the contract is documented in wit/v1/plugin.wit")]
#![allow(clippy::all, unsafe_code, reason = "generated")]

/// The imports and the types that all roles use.
pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package hookwright:sdk;
            world base {
                include hookwright:plugin/imports@1.0.0;
                import hookwright:plugin/types@1.0.0;
            }
        ",
        world: "hookwright:sdk/base",
        additional_derives: [PartialEq, Eq],
        generate_all,
    });
}

macro_rules! role {
    ($module:ident, $world:literal, $interface:ident, $export:literal, $bindings:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/v1",
                world: $world,
                with: {
                    "hookwright:plugin/types@1.0.0": crate::bindings::base::hookwright::plugin::types,
                    "hookwright:plugin/budget@1.0.0": crate::bindings::base::hookwright::plugin::budget,
                    "hookwright:plugin/config@1.0.0": crate::bindings::base::hookwright::plugin::config,
                    "hookwright:plugin/log@1.0.0": crate::bindings::base::hookwright::plugin::log,
                    "hookwright:plugin/secrets@1.0.0": crate::bindings::base::hookwright::plugin::secrets,
                },
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $bindings,
            });
            pub use exports::hookwright::plugin::$interface::Guest;
        }
    };
}

role!(filter, "filter-plugin", filter, "export_filter", "::hookwright_plugin::bindings::filter");
role!(mapper, "mapper-plugin", mapper, "export_mapper", "::hookwright_plugin::bindings::mapper");
role!(
    transformer,
    "transformer-plugin",
    transformer,
    "export_transformer",
    "::hookwright_plugin::bindings::transformer"
);
