//! Tests of ids.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_000_000_123);

#[test]
fn ids_ascend_and_contain_their_time() {
    let ids = IdGenerator::new(0, 0);
    let made: Vec<_> = (0..10_000).map(|_| EventKey::generate(&ids, NOW)).collect();
    assert!(made.is_sorted_by(|a, b| a < b && a.to_string() < b.to_string()));
    assert_eq!(made[0].created_at(), NOW);
    assert!(made[0] >= EventKey::first_at(NOW) && made[0] < EventKey::first_at(UnixMillis(NOW.0 + 1)));
}

#[test]
fn no_id_repeats_if_the_clock_is_set_back() {
    let before = EventKey::generate(&IdGenerator::new(7, 0), NOW);
    let ids = IdGenerator::new(7, before.0);
    assert!(EventKey::generate(&ids, UnixMillis(NOW.0 - 86_400_000)) > before);
}

#[test]
fn ids_do_not_follow_a_clock_beyond_their_ceiling() {
    let ids = IdGenerator::new(0, 0);
    let far = UnixMillis(NOW.0 + 100 * 365 * 86_400_000);
    ids.set_ceiling(UnixMillis(NOW.0 + 1));
    let made: Vec<_> = [NOW, far, NOW, far].map(|now| EventKey::generate(&ids, now)).to_vec();
    assert!(made.is_sorted_by(|a, b| a < b));
    assert_eq!(made[3].created_at(), UnixMillis(NOW.0 + 1));
    // Without a ceiling, the end of the range applies.
    let id = IdGenerator::new(0, 0).next_raw(UnixMillis(i64::MAX / 2));
    assert!(id > 0 && EventKey(id).to_string().parse() == Ok(EventKey(id)));
}

#[test]
fn a_short_form_and_a_node_give_the_id() {
    for node in [0, 7, 1023] {
        let ids = IdGenerator::new(node, 0);
        for id in (0..5_000).map(|_| DeliveryId::generate(&ids, NOW)) {
            assert!(id.short() < 1 << 53);
            assert_eq!(DeliveryId::from_short(id.short(), ids.node()), Some(id));
        }
    }
    for short in [-1, i64::MIN, 1 << 53, i64::MAX] {
        assert_eq!(DeliveryId::from_short(short, 0), None, "{short}");
    }
}

#[test]
fn an_id_is_parsed_from_its_text_and_other_text_is_refused() {
    let id = HookId::generate(&IdGenerator::new(1023, 0), NOW);
    assert_eq!(id.to_string().parse(), Ok(id));
    let other = DeliveryId(id.0).to_string();
    for text in ["", "hook_", "hook_0", other.as_str(), "hook_uuuuuuuuuuuuu", "hook_zzzzzzzzzzzzz"] {
        assert!(text.parse::<HookId>().is_err(), "{text}");
    }
}

/// Clocks that run, stand still and are set back and ahead.
fn clock() -> impl Strategy<Value = Vec<UnixMillis>> {
    let step = prop_oneof![4 => 0_i64..3, 1 => -100_000_i64..100_000, 1 => any::<i32>().prop_map(i64::from)];
    vec(step, 1..200).prop_map(|steps| {
        let mut now = NOW.0;
        let advance = |step: i64| {
            now += step;
            UnixMillis(now)
        };
        steps.into_iter().map(advance).collect()
    })
}

proptest! {
    #[test]
    fn text_and_number_have_the_same_order_and_round_trip(one in 0..=i64::MAX, other in 0..=i64::MAX) {
        let (one, other) = (EventKey(one), EventKey(other));
        prop_assert_eq!(one.to_string().parse(), Ok(one));
        prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
    }

    #[test]
    fn any_text_is_the_text_of_its_id_or_refused(text in "(evt_)?[0-9a-zA-Z]{12,14}") {
        if let Ok(id) = text.parse::<EventKey>() {
            prop_assert!(id.0 >= 0);
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn ids_ascend_whatever_the_clock_does(times in clock(), node in 0_u16..1024, restart in 0_usize..200) {
        let mut ids = IdGenerator::new(node, 0);
        let mut last = DeliveryId(0);
        for (count, now) in times.into_iter().enumerate() {
            if count == restart {
                ids = IdGenerator::new(node, last.0);
            }
            let id = DeliveryId::generate(&ids, now);
            prop_assert!(id > last && id >= DeliveryId::first_at(now));
            prop_assert_eq!(DeliveryId::from_short(id.short(), ids.node()), Some(id));
            last = id;
        }
    }

    #[test]
    fn generators_of_two_nodes_never_generate_the_same_id(times in clock(), one in 0_u16..1023) {
        let (one, other) = (IdGenerator::new(one, 0), IdGenerator::new(one + 1, 0));
        let of_one: Vec<_> = times.iter().map(|now| one.next_raw(*now)).collect();
        prop_assert!(times.iter().all(|now| !of_one.contains(&other.next_raw(*now))));
    }
}
