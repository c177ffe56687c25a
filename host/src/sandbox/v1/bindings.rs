//! Bindings for the exports of version 1, generated from `wit/v1`.
//!
//! The imports are written by hand in [`super::host`], because generated host functions copy an argument before its
//! length can be checked. Parameters are borrowed, so that an event's data is copied once, from the host to the guest.

#![allow(missing_docs, clippy::pedantic, reason = "generated code")]

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
