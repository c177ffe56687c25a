//! The list of standard plugins.

/// A standard plugin.
pub struct Standard {
    /// Its name in hooks, of its directory under `plugins/` and of its component.
    pub name: &'static str,
    /// The interfaces that it must export. It must not export others.
    pub roles: &'static [&'static str],
    /// A one-line description.
    pub description: &'static str,
    /// The kind of its sources.
    pub source_kind: SourceKind,
    /// Stack size of a plugin in Rust, in KiB. Parsing settings needs the most: with a smaller stack, valid settings
    /// could cause a trap. A larger stack makes every call slower, because all pages are restored after a call.
    pub stack_kib: u32,
}

/// Default stack size, enough without nested conditions or templates.
const STACK_KIB: u32 = 16;

/// Kind of a plugin's sources.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A crate `hookwright-<name>` in the workspace.
    Rust,
    /// The C code in its directory `src`, with QuickJS.
    QuickJs,
}

/// All standard plugins, by name.
pub const STANDARD: &[Standard] = &[
    Standard {
        name: "apizee-envelope",
        roles: &["transformer"],
        description: "The event in the form of Apizee's company webhooks",
        source_kind: SourceKind::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "body-template",
        roles: &["transformer"],
        description: "A JSON or text body written from a template with ${paths}, conditions and loops",
        source_kind: SourceKind::Rust,
        stack_kib: 64,
    },
    Standard {
        name: "cloudevents",
        roles: &["transformer"],
        description: "The event as a CloudEvent 1.0, in structured or binary mode",
        source_kind: SourceKind::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "event-filter",
        roles: &["filter"],
        description: "Delivers only events whose data meets conditions",
        source_kind: SourceKind::Rust,
        stack_kib: 20,
    },
    Standard {
        name: "field-map",
        roles: &["mapper"],
        description: "Selects, renames, moves, sets and drops members of the data",
        source_kind: SourceKind::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "javascript",
        roles: &["transformer"],
        description: "Runs the JavaScript in its settings to write the request",
        source_kind: SourceKind::QuickJs,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "project-envelope",
        roles: &["transformer"],
        description: "The notice of a project web hook: ids, event type and time, and custom parameters",
        source_kind: SourceKind::Rust,
        stack_kib: STACK_KIB,
    },
    Standard {
        name: "webitel-auth",
        roles: &["transformer"],
        description: "The preflight request of a Webitel hook",
        source_kind: SourceKind::Rust,
        stack_kib: 32,
    },
    Standard {
        name: "webitel-body",
        roles: &["transformer"],
        description: "The body or query string of a Webitel hook",
        source_kind: SourceKind::Rust,
        stack_kib: 32,
    },
    Standard {
        name: "webitel-filter",
        roles: &["filter"],
        description: "The filter of a Webitel hook, which compares as JavaScript does",
        source_kind: SourceKind::Rust,
        stack_kib: 64,
    },
    Standard {
        name: "webitel-headers",
        roles: &["transformer"],
        description: "The headers of a Webitel hook, from templates",
        source_kind: SourceKind::Rust,
        stack_kib: 32,
    },
    Standard {
        name: "webitel-map",
        roles: &["mapper"],
        description: "The fields and the map of a Webitel hook: selects and renames members",
        source_kind: SourceKind::Rust,
        stack_kib: STACK_KIB,
    },
];

impl Standard {
    /// Name of the crate of a plugin in Rust.
    pub fn package(&self) -> String {
        format!("hookwright-{}", self.name)
    }

    /// File name of the component.
    pub fn file(&self) -> String {
        format!("{}.wasm", self.name)
    }
}
