//! How much tenants have published, by the day of acceptance.

use std::time::Duration;

use super::{TenantId, UnixMillis};

/// A day: the number of days since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    const MILLIS: i64 = 86_400_000;

    /// The day that `time` is in.
    #[must_use]
    pub fn of(time: UnixMillis) -> Self {
        Self(time.0.div_euclid(Self::MILLIS))
    }

    /// When it begins.
    #[must_use]
    pub fn begins(self) -> UnixMillis {
        UnixMillis(self.0 * Self::MILLIS)
    }
}

/// What a tenant published in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// The tenant.
    pub tenant: TenantId,
    /// The day.
    pub day: Day,
    /// How many events.
    pub events: u64,
    /// Their size.
    pub bytes: u64,
}

/// About how many bytes a row of an event takes besides its data.
pub const EVENT_OVERHEAD_BYTES: u64 = 200;

/// About how many bytes of these `days` of one tenant are kept at `now`, if events are kept for `retention`. Of the day in
/// which the oldest ones were accepted, a part is gone.
#[must_use]
pub fn kept_bytes(days: &[DayUsage], retention: Option<Duration>, now: UnixMillis) -> u64 {
    let Some(retention) = retention else { return days.iter().map(|day| day.bytes).sum() };
    let oldest = now.minus(retention).0;
    let kept = |day: &DayUsage| {
        let (begins, ends) = (day.day.begins().0, Day(day.day.0 + 1).begins().0);
        let ends = ends.min(now.0.max(begins + 1));
        let part = u64::try_from((ends - oldest.max(begins)).max(0)).unwrap_or(0);
        let whole = u64::try_from(ends - begins).unwrap_or(1).max(1);
        u64::try_from(u128::from(day.bytes) * u128::from(part) / u128::from(whole)).unwrap_or(u64::MAX)
    };
    days.iter().map(kept).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_retention_does_not_count() {
        let now = UnixMillis(Day(100).begins().0 + Day::MILLIS / 2);
        let day = |day, bytes| DayUsage { tenant: TenantId(1), day: Day(day), events: 1, bytes };
        let days = [day(90, 1_000), day(98, 1_000), day(99, 1_000), day(100, 1_000)];
        let hours = |hours: u64| Some(Duration::from_secs(3_600 * hours));
        for (retention, kept) in
            [(None, 4_000), (hours(24 * 365), 4_000), (hours(24), 1_500), (hours(12), 1_000), (hours(6), 500)]
        {
            assert_eq!(kept_bytes(&days, retention, now), kept, "{retention:?}");
        }
        assert_eq!(kept_bytes(&[day(101, 7)], hours(1), now), 7, "the clock was set back");
    }
}
