//! `cargo run -p receiver -- --secret whsec_…`

use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Parser;
use receiver::{Arrival, Receiver, Verdict, Verifier};
use tokio::sync::mpsc;

/// Receives webhooks, verifies their signatures and shows them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A hook's signing secret; give two during a rotation.
    #[arg(long = "secret", value_name = "whsec_…", required = true, env = "RECEIVER_SECRET")]
    secrets: Vec<String>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let verifier = Verifier::new(&arguments.secrets)?;
    let receiver = Receiver::bind(arguments.listen).await.context("cannot listen")?.anywhere(verifier);
    let mut out = io::stdout();
    writeln!(out, "Receiving on http://{}", receiver.address()?)?;
    let (sender, mut arrivals) = mpsc::channel(100);
    let mut served = tokio::spawn(receiver.serve(sender));
    loop {
        tokio::select! {
            Some(arrival) = arrivals.recv() => show(&mut out, &arrival)?,
            ended = &mut served => return Ok(ended??),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn show(out: &mut impl Write, arrival: &Arrival) -> io::Result<()> {
    let Arrival { method, path, headers, body, verdict } = arrival;
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("no id");
    match verdict {
        Verdict::Verified => writeln!(out, "\n{method} {path}: {id}, verified")?,
        Verdict::Duplicate => return writeln!(out, "\n{method} {path}: {id}, duplicate"),
        Verdict::Refused(why) => return writeln!(out, "\n{method} {path}: {id}, REFUSED: {why}"),
    }
    for (name, value) in headers {
        writeln!(out, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
    }
    writeln!(out, "  {}", String::from_utf8_lossy(body))
}
