//! `cargo run -p publish -- --key hwk_… order.paid '{"total": 12}'`

use std::io::{self, Read as _, Write as _};

use anyhow::Context as _;
use clap::Parser;
use publish::Publisher;
use serde_json::value::RawValue;

/// Publishes an event to Hookwright.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The URL of Hookwright.
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "HOOKWRIGHT_URL")]
    url: String,
    /// An API key of the tenant, with the scope `events:write`.
    #[arg(long, env = "HOOKWRIGHT_KEY", hide_env_values = true)]
    key: String,
    /// The event's type.
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// The event's data as JSON; `-` reads it from standard input.
    data: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut text = arguments.data;
    if text == "-" {
        text = String::new();
        io::stdin().read_to_string(&mut text)?;
    }
    let data: Box<RawValue> = serde_json::from_str(&text).context("the data is not JSON")?;
    let answer = Publisher::new(&arguments.url, &arguments.key).publish(&arguments.event_type, &data).await?;
    writeln!(io::stdout(), "{answer}")?;
    Ok(())
}
