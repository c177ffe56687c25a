//! The result of a soak.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What happened, and what became of the events.
#[derive(Debug, Default)]
pub struct Report {
    /// The seed of the order of disruptions.
    pub seed: u64,
    /// How long it took.
    pub took: Duration,
    /// How often a node was killed and started again at once.
    pub kills: u64,
    /// How often a node was killed, and not started before others had taken its deliveries over.
    pub deaths: u64,
    /// How often PostgreSQL was killed.
    pub postgres_kills: u64,
    /// How often a node was stopped and continued.
    pub pauses: u64,
    /// How often a node ended by itself, and was started again.
    pub exits: u64,
    /// Accepted events.
    pub events: u64,
    /// Their deliveries.
    pub deliveries: usize,
    /// How many of them arrived.
    pub delivered: usize,
    /// Some of those that did not: what is known of them.
    pub lost: Vec<String>,
    /// How many arrived again.
    pub duplicates: usize,
    /// Of the duplicates, those whose first arrival was not shortly before a disruption.
    pub unexplained: usize,
    /// The longest time from the first arrival of a duplicate to the disruption.
    pub oldest_duplicate: Duration,
    /// Requests in progress and records not surely stored, at all disruptions in sum.
    pub in_flight: usize,
    /// From the death of a node to the arrival of the first delivery that it had held.
    pub takeovers: Vec<Duration>,
    /// From the start of PostgreSQL to the next accepted event.
    pub recoveries: Vec<Duration>,
    /// The limit of concurrent requests to a hook.
    pub limit: usize,
    /// The most concurrent requests to each hook.
    pub most_in_progress: Vec<(usize, usize)>,
    /// Events with ordering keys that arrived.
    pub ordered: u64,
    /// Key and position of those that arrived before an earlier one of their key.
    pub out_of_order: Vec<(u64, u64)>,
    /// Answers by status, with the body of the first.
    pub answers: BTreeMap<u16, (u64, String)>,
    /// Posts without an answer.
    pub unanswered: u64,
}

/// Deliveries of a dead node begin to arrive elsewhere within this time.
const TAKEOVER: Duration = Duration::from_secs(15);

impl Report {
    /// What must not be, in words.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                all.push(what);
            }
        };
        let lost = self.deliveries - self.delivered;
        check(lost == 0, format!("{lost} deliveries were lost: {}", self.lost.join("; ")));
        check(
            self.duplicates <= self.in_flight,
            format!("{} deliveries arrived again, {} were in flight", self.duplicates, self.in_flight),
        );
        check(self.unexplained == 0, format!("{} arrived again without a reason", self.unexplained));
        for took in &self.takeovers {
            check(*took <= TAKEOVER, format!("a takeover took {took:.1?}"));
        }
        for (hook, most) in &self.most_in_progress {
            check(*most <= self.limit, format!("hook {hook} had {most} requests in progress"));
        }
        let out_of_order = &self.out_of_order;
        check(
            out_of_order.is_empty(),
            format!("{} requests came out of order: {:?}", out_of_order.len(), out_of_order.first()),
        );
        for (status, (count, first)) in &self.answers {
            check([200, 202, 503].contains(status), format!("{count} answers with {status}: {first}"));
        }
        all
    }
}

fn longest(all: &[Duration]) -> String {
    all.iter().max().map_or("-".to_owned(), |most| format!("{:.1} s", most.as_secs_f64()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: Vec<String> =
            self.answers.iter().map(|(status, (count, _))| format!("{status}: {count}")).collect();
        let most = self.most_in_progress.iter().map(|(_, most)| *most).max().unwrap_or(0);
        for (name, value) in [
            ("seed", self.seed.to_string()),
            ("duration", format!("{:.0} s", self.took.as_secs_f64())),
            ("nodes killed and started", self.kills.to_string()),
            ("nodes killed until taken over", self.deaths.to_string()),
            ("PostgreSQL killed and started", self.postgres_kills.to_string()),
            ("nodes stopped and continued", self.pauses.to_string()),
            ("nodes that ended by themselves", self.exits.to_string()),
            ("events accepted", self.events.to_string()),
            ("deliveries accepted", self.deliveries.to_string()),
            ("deliveries lost", (self.deliveries - self.delivered).to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("in flight at the disruptions", self.in_flight.to_string()),
            ("duplicates without a disruption", self.unexplained.to_string()),
            ("oldest record that was lost", format!("{:.2} s", self.oldest_duplicate.as_secs_f64())),
            ("longest takeover", longest(&self.takeovers)),
            ("longest recovery of PostgreSQL", longest(&self.recoveries)),
            ("most requests at once to a hook", format!("{most} of {}", self.limit)),
            ("events with ordering keys", self.ordered.to_string()),
            ("requests out of order", self.out_of_order.len().to_string()),
            ("answers", answers.join(", ")),
            ("posts without an answer", self.unanswered.to_string()),
        ] {
            writeln!(f, "{name:32}  {value}")?;
        }
        for violation in self.violations() {
            writeln!(f, "VIOLATION: {violation}")?;
        }
        Ok(())
    }
}
