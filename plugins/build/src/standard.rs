//! The standard plugins there are.

/// A standard plugin, before it is built.
pub struct Standard {
    /// What hooks call it, and the name of its directory under `plugins/` and of its component.
    pub name: &'static str,
    /// The interfaces that it must export, and no others.
    pub roles: &'static [&'static str],
    /// A line for people choosing a plugin.
    pub description: &'static str,
    /// What it is made from.
    pub made_from: MadeFrom,
    /// The stack of a plugin in Rust, in KiB. What goes deepest is reading settings: with less, some that the plugin takes would
    /// be a trap. More costs every call, since stack and data share pages.
    pub stack_kib: u32,
}

/// Enough for what has no conditions, templates or the like in its settings.
const STACK_KIB: u32 = 16;

/// The way to a component.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MadeFrom {
    /// A crate `hookwright-<name>` in the workspace.
    Rust,
    /// The C in its directory `src`, around QuickJS.
    QuickJs,
}

/// All of them, by name.
pub const STANDARD: &[Standard] = &[
    Standard {
        name: "apizee-envelope",
        roles: &["transformer"],
        description: "The event in the form of Apizee's company webhooks",
        made_from: MadeFrom::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "body-template",
        roles: &["transformer"],
        description: "A JSON or text body written from a template with ${paths}, conditions and loops",
        made_from: MadeFrom::Rust,
        stack_kib: 64,
    },
    Standard {
        name: "cloudevents",
        roles: &["transformer"],
        description: "The event as a CloudEvent 1.0, in structured or binary mode",
        made_from: MadeFrom::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "event-filter",
        roles: &["filter"],
        description: "Delivers only events whose data meets conditions",
        made_from: MadeFrom::Rust,
        stack_kib: 20,
    },
    Standard {
        name: "field-map",
        roles: &["mapper"],
        description: "Picks, renames, moves, sets and drops members of the data",
        made_from: MadeFrom::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "javascript",
        roles: &["transformer"],
        description: "Runs the JavaScript in its settings to write the request",
        made_from: MadeFrom::QuickJs,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "project-envelope",
        roles: &["transformer"],
        description: "The notice of a project web hook: ids, event type and time, and custom parameters",
        made_from: MadeFrom::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "webitel-auth",
        roles: &["transformer"],
        description: "The auth request that a Webitel hook sends before its own",
        made_from: MadeFrom::Rust,
        stack_kib: 32,
    },
    Standard {
        name: "webitel-body",
        roles: &["transformer"],
        description: "The body or query string of a Webitel hook",
        made_from: MadeFrom::Rust,
        stack_kib: 32,
    },
    Standard {
        name: "webitel-filter",
        roles: &["filter"],
        description: "The filter of a Webitel hook, which compares as JavaScript does",
        made_from: MadeFrom::Rust,
        stack_kib: 64,
    },
    Standard {
        name: "webitel-headers",
        roles: &["transformer"],
        description: "The headers of a Webitel hook, from templates",
        made_from: MadeFrom::Rust,
        stack_kib: 32,
    },
    Standard {
        name: "webitel-map",
        roles: &["mapper"],
        description: "The fields and the map of a Webitel hook: picks and renames members",
        made_from: MadeFrom::Rust,
        stack_kib: STACK_KIB,
    },
];

impl Standard {
    /// The crate's name, of a plugin in Rust.
    pub fn package(&self) -> String {
        format!("hookwright-{}", self.name)
    }

    /// The component's file name.
    pub fn file(&self) -> String {
        format!("{}.wasm", self.name)
    }
}
