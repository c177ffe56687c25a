//! The output of the demo of several nodes, in 80 columns.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::load::{RATE, RECEIVER_DELAY};
use super::node::Node;
use super::scores::ClusterResult;
use crate::cli::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};

/// The state of things at the end of a second.
pub(super) struct Row {
    pub(super) second: u64,
    pub(super) accepted: usize,
    pub(super) arrived: usize,
    /// Which nodes run.
    pub(super) alive: Vec<bool>,
}

impl Row {
    pub(super) fn on_the_way(&self) -> usize {
        self.accepted - self.arrived
    }
}

pub(super) fn starting(out: &mut impl Write, nodes: usize) -> io::Result<()> {
    writeln!(out, "{HEAD}{nodes} nodes on one PostgreSQL{PLAIN}")?;
    writeln!(out, "  {FAINT}starting a temporary PostgreSQL and the nodes …{PLAIN}")?;
    out.flush()
}

pub(super) fn introduction(out: &mut impl Write, nodes: &[Node], receiver: SocketAddr) -> io::Result<()> {
    for (number, node) in (1..).zip(nodes) {
        writeln!(out, "  node {number}     http://{}  process {}", node.address, node.process)?;
    }
    let delay = RECEIVER_DELAY.as_millis();
    writeln!(out, "  receiver   http://{receiver}  verifies signatures, takes {delay} ms")?;
    writeln!(out, "\n{RATE} events a second go to the nodes in turn, as from a load balancer.\n")?;
    writeln!(out, "{HEAD}    time    accepted     arrived  on the way   nodes{PLAIN}")?;
    out.flush()
}

pub(super) fn row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let Row { second, accepted, arrived, alive } = row;
    write!(out, "  {second:>4} s {accepted:>11} {arrived:>11}")?;
    let on_the_way = row.on_the_way();
    let style = if on_the_way > 0 { MUTED } else { GOOD };
    write!(out, " {style}{on_the_way:>11}{PLAIN}  ")?;
    for (number, is_alive) in (1..).zip(alive) {
        let (style, mark) = if *is_alive { (GOOD, "●") } else { (BAD, "✕") };
        write!(out, " {number} {style}{mark}{PLAIN}")?;
    }
    writeln!(out)?;
    out.flush()
}

pub(super) fn killed(out: &mut impl Write, node: usize, burst: usize, process: u32) -> io::Result<()> {
    writeln!(
        out,
        "         node {node} accepts {burst} more at once, and dies: {BAD}kill -9 {process}{PLAIN}"
    )?;
    out.flush()
}

pub(super) fn taken_over(out: &mut impl Write, node: usize) -> io::Result<()> {
    writeln!(out, "         {GOOD}the others have delivered what node {node} had accepted{PLAIN}")?;
    out.flush()
}

pub(super) fn result(out: &mut impl Write, result: &ClusterResult) -> io::Result<()> {
    let ClusterResult { accepted, arrived, unverified, repeated, taken_over, after } = result;
    let lost = accepted - arrived;
    let style = if result.is_complete() { GOOD } else { BAD };
    let said = if result.is_complete() { "Every event arrived" } else { "Not every event arrived" };
    writeln!(out, "\n{style}{said}{PLAIN}")?;
    writeln!(out, "{accepted:>8}  accepted: answered with 202")?;
    writeln!(out, "{arrived:>8}  arrived with a valid signature")?;
    writeln!(out, "{lost:>8}  lost")?;
    if *unverified > 0 {
        writeln!(out, "{unverified:>8}  requests without a valid signature")?;
    }
    writeln!(out, "{repeated:>8}  arrived twice: sent, but not yet recorded when the node died")?;
    if let Some(after) = after {
        let seconds = after.as_secs_f64();
        writeln!(out, "{taken_over:>8}  taken over from the dead node, {seconds:.1} s after its death")?;
    }
    out.flush()
}

pub(super) fn removed(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{FAINT}The nodes are stopped; PostgreSQL and all files are removed.{PLAIN}")?;
    out.flush()
}
