//! The connections that are open, and which of them end to make room.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::connection::{Client, Context};

/// A search looks at all connections. After one that found too few, the next for the same is this much later.
const SEARCH_INTERVAL_MS: u64 = 10;
/// How many searches there are in this time at most, for whatever addresses.
const MAX_SEARCHES: u32 = 8;
/// A connection that has been idle for this long may end for any address: one that is in use is idle for less.
const LONG_IDLE_MS: u64 = 5_000;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Table {
    next: u64,
    pub(super) open: HashMap<u64, Arc<Client>>,
    /// Those of `open` that were told to end.
    pub(super) ending: HashSet<u64>,
    pub(super) by_address: HashMap<IpAddr, AddressCount>,
    /// The last searches for idle connections that found too few: for which, and when in milliseconds.
    vain_search: HashMap<MayEnd, u64>,
    searches: Searches,
    pub(super) stopping: bool,
}

/// How many searches there were in the present interval.
#[derive(Debug, Clone, Copy, Default)]
struct Searches {
    began_ms: u64,
    count: u32,
}

/// How many connections an address has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AddressCount {
    pub(super) staying: usize,
    /// Told to end.
    pub(super) ending: usize,
}

/// Which idle connections may end to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum MayEnd {
    /// Those of this address.
    Own(IpAddr),
    /// Those of this address, of every address that has more than this many, and those that have been idle for long.
    OwnAndThoseOfMore(IpAddr, usize),
    /// All.
    All,
}

impl Table {
    pub(super) fn add(&mut self, address: IpAddr, context: &Arc<Context>) -> Arc<Client> {
        let client = Arc::new(Client::new(self.next, address, context));
        self.next += 1;
        self.open.insert(client.number, Arc::clone(&client));
        self.by_address.entry(address).or_default().staying += 1;
        client
    }

    pub(super) fn count_of(&self, address: IpAddr) -> AddressCount {
        self.by_address.get(&address).copied().unwrap_or_default()
    }

    /// Tells at most `most` idle connections to end. First come those of the address that has most connections; among these,
    /// those that never had a request, and then the oldest. Returns whether there were any.
    pub(super) fn end_idle(&mut self, most: usize, may_end: MayEnd, now_ms: u64) -> bool {
        if self.vain_search.get(&may_end).is_some_and(|at_ms| now_ms < at_ms + SEARCH_INTERVAL_MS)
            || !self.may_search(now_ms)
        {
            return false;
        }
        let of_address = |client: &Arc<Client>| self.count_of(client.address).staying;
        let is_wanted = |client: &&Arc<Client>| {
            let may_end = match may_end {
                MayEnd::All => true,
                MayEnd::Own(own) => client.address == own,
                MayEnd::OwnAndThoseOfMore(own, count) => {
                    client.address == own
                        || of_address(client) > count
                        || now_ms.saturating_sub(client.last_used_ms()) >= LONG_IDLE_MS
                }
            };
            may_end && client.is_idle() && !self.ending.contains(&client.number)
        };
        let mut idle: Vec<_> = self.open.values().filter(is_wanted).cloned().collect();
        idle.sort_by_cached_key(|client| {
            (Reverse(of_address(client)), client.requests() > 0, client.last_used_ms(), client.number)
        });
        idle.truncate(most);
        for client in &idle {
            self.ending.insert(client.number);
            let count = self.by_address.entry(client.address).or_default();
            count.staying -= 1;
            count.ending += 1;
            client.tell_to_end();
        }
        if idle.len() < most {
            self.vain_search.retain(|_, at_ms| now_ms < *at_ms + SEARCH_INTERVAL_MS);
            self.vain_search.insert(may_end, now_ms);
        }
        !idle.is_empty()
    }

    /// Counts a search, if there may be another one now.
    fn may_search(&mut self, now_ms: u64) -> bool {
        if now_ms >= self.searches.began_ms + SEARCH_INTERVAL_MS {
            self.searches = Searches { began_ms: now_ms, count: 0 };
        }
        self.searches.count += 1;
        self.searches.count <= MAX_SEARCHES
    }

    pub(super) fn remove(&mut self, client: &Client) {
        self.open.remove(&client.number);
        let was_ending = self.ending.remove(&client.number);
        if let Entry::Occupied(mut entry) = self.by_address.entry(client.address) {
            let AddressCount { staying, ending } = entry.get_mut();
            *if was_ending { &mut *ending } else { &mut *staying } -= 1;
            if *staying + *ending == 0 {
                entry.remove();
            }
        }
    }
}
