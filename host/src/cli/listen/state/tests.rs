use super::*;
use crate::cli::listen::samples::{attempted, created, delivery};
use crate::cli::listen::update::{Details, Outcome};
use serde_json::json;

fn numbered(number: usize) -> Delivery {
    Delivery { id: number.to_string(), ..delivery() }
}

/// A state with the rows `count - 1` to 0; `room` of them fit on the screen.
fn state(count: usize, room: u16, forward: bool) -> State {
    let forward = forward.then(|| ("http://localhost/".to_owned(), None));
    let around = 3 + u16::from(forward.is_some());
    let mut state = State::new("http://e", forward, (80, room + around));
    (0..count).for_each(|number| come(&mut state, number));
    state
}

fn come(state: &mut State, number: usize) {
    state.apply(Update::Changed { change: created(numbered(number)), is_new: true });
}

fn selected(state: &State) -> String {
    state.rows().get(state.position().0).unwrap().delivery.id.clone()
}

#[test]
fn keys_move_the_selection_and_the_view_follows() {
    use Key::{Down, First, Last, PageDown, PageUp, Up};
    let mut state = state(10, 4, false);
    for (key, expected) in [
        (Up, (0, 0)),
        (Down, (1, 0)),
        (Down, (2, 0)),
        (Down, (3, 0)),
        (Down, (4, 1)),
        (Up, (3, 1)),
        (PageDown, (6, 3)),
        (PageDown, (9, 6)),
        (Down, (9, 6)),
        (PageUp, (6, 6)),
        (First, (0, 0)),
        (Last, (9, 6)),
    ] {
        assert_eq!(state.press(key), None);
        assert_eq!(state.position(), expected, "{key:?}");
    }
    state.resize(80, 5);
    assert_eq!(state.position(), (9, 8));
}

#[test]
fn the_selection_stays_on_its_row_or_follows_the_newest() {
    let mut state = state(3, 4, false);
    come(&mut state, 3);
    assert_eq!(selected(&state), "3");
    state.press(Key::Down);
    come(&mut state, 4);
    assert_eq!((selected(&state), state.position().0), ("2".to_owned(), 2));
}

#[test]
fn a_paused_view_stands_still_and_counts() {
    let mut state = state(3, 4, false);
    state.press(Key::Down);
    state.press(Key::Pause);
    come(&mut state, 3);
    come(&mut state, 4);
    assert_eq!((state.rows().len(), state.held(), selected(&state).as_str()), (3, Some(2), "1"));
    state.press(Key::Pause);
    assert_eq!((state.rows().len(), state.held(), selected(&state).as_str()), (5, None, "1"));
}

#[test]
fn keys_ask_for_the_selected_delivery() {
    let mut state = state(2, 4, true);
    state.press(Key::Down);
    for (key, expected) in [
        (Key::Retry, Some(Action::Retry(numbered(0)))),
        (Key::Forward, Some(Action::Forward(numbered(0)))),
        (Key::Enter, Some(Action::Show(numbered(0)))),
        (Key::Enter, None),
        (Key::Retry, Some(Action::Retry(numbered(0)))),
        (Key::Help, None),
        (Key::Retry, None),
        (Key::Back, None),
        (Key::Quit, Some(Action::Quit)),
    ] {
        assert_eq!(state.press(key), expected, "{key:?}");
    }
    let mut empty = self::state(0, 4, false);
    for key in [Key::Enter, Key::Retry, Key::Forward, Key::Down, Key::Last] {
        assert_eq!(empty.press(key), None, "{key:?}");
    }
}

#[test]
fn answers_are_told_in_the_status_line() {
    let mut state = state(1, 4, true);
    state.press(Key::Forward);
    let outcome = Outcome::Failed("refused".to_owned());
    for (update, expected) in [
        (Update::Retried { id: "0".to_owned(), answer: Ok(()) }, "0 is retried"),
        (Update::Retried { id: "0".to_owned(), answer: Err("409".to_owned()) }, "0 is not retried: 409"),
        (Update::Forwarded(Forwarded { delivery: numbered(0), outcome }), "forwarded: failed: refused"),
    ] {
        state.apply(update);
        assert_eq!(state.status.as_deref(), Some(expected));
    }
    // Others that are forwarded are only in the table.
    state.press(Key::Down);
    state.apply(Update::Forwarded(Forwarded { delivery: numbered(0), outcome: Outcome::Dropped }));
    assert_eq!(state.status, None);
}

#[test]
fn open_details_are_asked_for_again_when_they_change() {
    let mut state = state(2, 4, false);
    state.press(Key::Enter);
    let told = Box::new(Details { delivery: json!({"id": "1"}), bodies: Vec::new(), data: None });
    state.apply(Update::Details { id: "0".to_owned(), answer: Ok(told.clone()) });
    assert!(matches!(&state.page, Page::Details { lines: None, .. }), "of another delivery");
    state.apply(Update::Details { id: "1".to_owned(), answer: Ok(told) });
    assert!(matches!(&state.page, Page::Details { lines: Some(_), .. }));
    for (id, is_asked) in [("0", false), ("1", true)] {
        let mut change = attempted("waiting", 500);
        id.clone_into(&mut change.delivery.id);
        let action = state.apply(Update::Changed { change, is_new: false });
        assert_eq!(matches!(action, Some(Action::Show(_))), is_asked, "{id}");
    }
}

#[test]
fn a_broken_connection_is_told_until_it_is_mended() {
    let mut state = state(0, 4, false);
    state.apply(Update::Connected);
    assert_eq!(state.broken, None);
    state.apply(Update::Disconnected { why: "x".to_owned() });
    assert_eq!(state.broken.as_deref(), Some("x"));
}
