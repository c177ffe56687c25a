//! The options of `hookwright listen`.

use std::path::PathBuf;

use clap::Args;

/// The text after the options in `--help`.
const EXAMPLES: &str = "\
Examples:
  export HOOKWRIGHT_KEY=hwk_…
  hookwright listen                                        # watch every delivery of the tenant
  hookwright listen --type 'order.*' --forward 3000        # send each one to http://localhost:3000/, too
  hookwright listen --json | jq 'select(.kind == \"delivery\").delivery.state'

To develop a receiver without a tunnel, make its hook with `\"paused\": true`: the engine holds the deliveries, and
`listen --forward` sends each of them to your machine, as the hook would send it. It is signed with a secret of its own,
which it prints, unless `--secret` names another one.

On a terminal, `?` shows the keys. The scopes of the key: `deliveries:read`; with --forward also `hooks:read` and
`events:read`; to retry `deliveries:write`.";

/// Watch a tenant's deliveries live, and forward them to a local address.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Listen {
    /// The address of the engine; without a scheme `https`, unless it is on this machine [env: HOOKWRIGHT_URL] [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// A key of the API. Who lists processes can see it: prefer the variable or --key-file [env: HOOKWRIGHT_KEY]
    #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
    pub(super) key: Option<String>,
    /// A file with the key
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// With an operator's key: the tenant
    #[arg(long, value_name = "TENANT")]
    pub(super) tenant: Option<String>,
    /// Trust the certificates in this PEM file too, for `https`
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Only deliveries for this hook
    #[arg(long, value_name = "HOOK")]
    pub(super) hook: Option<String>,
    /// Only deliveries of events of this type, or of all types with a prefix, such as `order.*`
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// Send each new delivery once to this address, as its hook would send it. A number is a port of this machine
    #[arg(long, value_name = "URL|PORT")]
    pub(super) forward: Option<String>,
    /// What signs forwarded requests: a secret (`whsec_…`), or `hook` for the hook's own signature, which requires
    /// `hooks:write`. By default a new secret each time [env: HOOKWRIGHT_LISTEN_SECRET]
    #[arg(long, value_name = "SECRET|hook", requires = "forward", conflicts_with = "secret_file")]
    pub(super) secret: Option<String>,
    /// A file with the secret
    #[arg(long, value_name = "FILE", requires = "forward")]
    pub(super) secret_file: Option<PathBuf>,
    /// Write one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}
