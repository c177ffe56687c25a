//! What plugins of version 1 export, bound from `wit/v1`.
//!
//! Only exports: the imports are written by hand in [`super::host`], because a host function from
//! the macro would copy a plugin's whole argument before anybody has looked at how long it is.
//! Borrowed parameters, so that an event's data is copied once, from the host into the guest.

#![allow(missing_docs, clippy::pedantic, reason = "written by a macro")]

wasmtime::component::bindgen!({
    path: "../wit/v1",
    inline: "
        package hookwright:host;
        world roles {
            export hookwright:plugin/filter@1.0.0;
            export hookwright:plugin/mapper@1.0.0;
            export hookwright:plugin/transformer@1.0.0;
        }
    ",
    world: "hookwright:host/roles",
    ownership: Borrowing { duplicate_if_necessary: true },
});
