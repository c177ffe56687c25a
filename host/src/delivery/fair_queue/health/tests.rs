//! Tests of a receiver's health.

use super::*;
use crate::clock;

const MOST: usize = 64;

/// Ends requests one after another with each observation, all windows in full use.
fn after(observations: &[(Observation, u64)]) -> Health {
    let mut health = Health::default();
    let began = clock::monotonic();
    for (observation, took_ms) in observations {
        let now = began + Duration::from_millis(*took_ms);
        health.full = true;
        health.end(*observation, (began, now), MOST);
    }
    health
}

#[test]
fn the_window_doubles_with_answers_and_is_halved_by_each_timeout() {
    use Observation::{Answered, Nothing, TimedOut, Unreachable, Unsent};
    let overloaded = Observation::Overloaded { retry_after: None };
    let answers = |count: usize| vec![(Answered, 5); count];
    for (what, seen, window, class) in [
        ("nothing is known", vec![], 1, Class::Unknown),
        ("an attempt was not made", vec![(Nothing, 5)], 1, Class::Unknown),
        ("a filter drops events", vec![(Unsent, 5); 3], 4, Class::Quick),
        ("a filter drops one, but it hangs", vec![(TimedOut, 60_000), (Unsent, 5)], 1, Class::Hanging),
        ("its plugin has to be compiled", vec![(Unsent, 5_000)], 1, Class::Unknown),
        ("one answer", answers(1), 2, Class::Quick),
        ("a round trip of two", answers(3), 4, Class::Quick),
        ("as many as a hook may have", answers(500), MOST, Class::Quick),
        ("one timeout of many", [answers(63), vec![(TimedOut, 60_000)]].concat(), 32, Class::Quick),
        ("it hangs", [answers(63), vec![(TimedOut, 60_000); 6]].concat(), 1, Class::Hanging),
        ("it hangs from the first", vec![(TimedOut, 60_000)], 1, Class::Hanging),
        ("it is back", vec![(TimedOut, 60_000), (Answered, 5)], 2, Class::Quick),
        ("slow, but it answers", [answers(3), vec![(Answered, 2_000)]].concat(), 5, Class::Slow),
        ("it has too much to do", [answers(63), vec![(overloaded, 5)]].concat(), 32, Class::Quick),
        ("nobody listens", vec![(Unreachable, 5)], 1, Class::Quick),
        ("no way leads there", vec![(Unreachable, 5_000)], 1, Class::Hanging),
    ] {
        let health = after(&seen);
        assert_eq!((health.window, health.class), (window, class), "{what}");
    }
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let (mut health, now) = (Health::default(), clock::monotonic());
    for _ in 0..100 {
        health.begin(now, 0);
        health.end(Observation::Answered, (now, now), MOST);
    }
    assert_eq!(health.window, 2);
}

#[test]
fn a_receiver_that_has_gone_quiet_counts_as_slow_at_once() {
    let (mut health, began) = (after(&[(Observation::Answered, 5)]), clock::monotonic() + SLOW);
    health.begin(began, 0);
    for (what, after_ms, in_flight, expected) in [
        ("it may still answer in time", 1_999, 1, Class::Quick),
        ("nothing came", 2_000, 1, Class::Slow),
        ("nothing is under way", 2_000, 0, Class::Quick),
    ] {
        let now = began + Duration::from_millis(after_ms);
        assert_eq!(health.class(now, in_flight, false), expected, "{what}");
    }
}

#[test]
fn a_retry_to_a_receiver_that_nothing_is_known_of_is_a_probe() {
    for (health, expected) in
        [(Health::default(), Class::Hanging), (after(&[(Observation::Answered, 5)]), Class::Quick)]
    {
        assert_eq!(health.class(clock::monotonic(), 0, true), expected);
    }
}

#[test]
fn an_overloaded_receiver_gets_the_pause_that_it_asks_for_or_a_growing_one() {
    let (mut health, start) = (Health::default(), clock::monotonic());
    let seconds = Duration::from_secs;
    let none = Observation::Overloaded { retry_after: None };
    let asks = |pause| Observation::Overloaded { retry_after: Some(seconds(pause)) };
    for (what, seen, began, ended, pause) in [
        ("the first", none, 0, 1, None),
        ("in flight together with it", none, 0, 1, None),
        ("the second", none, 1, 2, None),
        ("it asks for a pause", asks(7), 2, 3, Some(7)),
        ("which counts too", none, 3, 4, Some(2)),
        ("the fifth", none, 4, 5, Some(4)),
        ("one of the same time", none, 4, 5, None),
        ("it asks for too long a pause", asks(86_400), 5, 6, Some(3_600)),
        ("it answers", Observation::Answered, 6, 7, None),
        ("it begins again", none, 7, 8, None),
    ] {
        let times = (start + seconds(began), start + seconds(ended));
        assert_eq!(health.end(seen, times, MOST), pause.map(seconds), "{what}");
    }
    let mut later = (8..).map(|at| (start + seconds(at), start + seconds(at + 1)));
    let longest = later.by_ref().take(50).filter_map(|times| health.end(none, times, MOST)).max();
    assert_eq!(longest, Some(LONGEST_PAUSE));
}
