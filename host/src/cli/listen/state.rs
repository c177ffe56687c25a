//! What the screen shows, and what keys do. It is pure: updates and keys go in, actions come out.

use super::details;
use super::line::Line;
use super::rows::{Row, Rows};
use super::update::{Forwarded, Update};
use super::wire::Delivery;
use super::words;

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Back,
    Retry,
    Forward,
    Pause,
    Help,
    Quit,
}

/// What the session does because of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Quit,
    Show(Delivery),
    Retry(Delivery),
    Forward(Delivery),
}

/// Which page is open.
#[derive(Debug, Clone)]
pub(super) enum Page {
    List,
    /// All about a delivery; without lines, they are on their way. `wrapped` has them for the width of the terminal.
    Details {
        delivery: Box<Delivery>,
        lines: Option<Vec<Line>>,
        wrapped: Vec<Line>,
        scroll: usize,
    },
    Help,
}

/// See the module's head.
pub(super) struct State {
    pub(super) url: String,
    /// The address to which deliveries are forwarded, and the secret that was made for it.
    pub(super) forward: Option<(String, Option<String>)>,
    pub(super) page: Page,
    /// What is wrong with the connection.
    pub(super) broken: Option<String>,
    /// What the last key has done.
    pub(super) status: Option<String>,
    pub(super) columns: usize,
    pub(super) lines: usize,
    live: Rows,
    /// The rows when the view was paused, and how many have come since.
    paused: Option<(Rows, usize)>,
    selected: usize,
    first: usize,
    /// The delivery whose forwarding the user asked for.
    asked: Option<String>,
}

impl State {
    pub(super) fn new(
        url: &str,
        forward: Option<(String, Option<String>)>,
        (columns, lines): (u16, u16),
    ) -> Self {
        Self {
            url: url.to_owned(),
            forward,
            page: Page::List,
            broken: Some("connecting".to_owned()),
            status: None,
            columns: columns.into(),
            lines: lines.into(),
            live: Rows::default(),
            paused: None,
            selected: 0,
            first: 0,
            asked: None,
        }
    }

    /// The rows that are shown.
    pub(super) fn rows(&self) -> &Rows {
        self.paused.as_ref().map_or(&self.live, |(rows, _)| rows)
    }

    /// How many deliveries have come since the view was paused.
    pub(super) fn held(&self) -> Option<usize> {
        self.paused.as_ref().map(|(_, count)| *count)
    }

    /// The index of the selected row, and that of the first on the screen.
    pub(super) fn position(&self) -> (usize, usize) {
        (self.selected, self.first)
    }

    /// How many lines there are for rows, or for the lines of a page.
    pub(super) fn room(&self) -> usize {
        let around = match self.page {
            Page::List => 3 + usize::from(self.forward.is_some()),
            _ => 2,
        };
        self.lines.saturating_sub(around).max(1)
    }

    /// The terminal has another size.
    pub(super) fn resize(&mut self, columns: u16, lines: u16) {
        (self.columns, self.lines) = (columns.into(), lines.into());
        self.wrap();
        self.keep_in_view();
    }

    /// Notes what happened.
    pub(super) fn apply(&mut self, update: Update) -> Option<Action> {
        let came = self.live.apply(&update, self.forward.is_some());
        match &mut self.paused {
            Some((_, count)) => *count += came,
            // The selection stays on its row, unless it follows the newest.
            None if self.selected > 0 => self.selected += came,
            None => {}
        }
        self.keep_in_view();
        match update {
            Update::Connected => self.broken = None,
            Update::Disconnected { why } => self.broken = Some(why),
            Update::Gap { listed } => {
                self.status =
                    Some(format!("of the deliveries made meanwhile, the newest {listed} are shown"));
            }
            Update::Changed { change, .. } => return self.refresh(&change.delivery),
            Update::Forwarded(Forwarded { delivery, outcome }) => {
                if self.asked.as_ref() == Some(&delivery.id) {
                    self.asked = None;
                    self.status = Some(format!("forwarded: {}", words::forwarded_fully(&outcome)));
                }
                return self.refresh(&delivery);
            }
            Update::Details { id, answer } => self.show(&id, answer),
            Update::Retried { id, answer } => {
                self.status = Some(match answer {
                    Ok(()) => format!("{id} is retried"),
                    Err(error) => format!("{id} is not retried: {error}"),
                });
            }
            Update::Earlier(_) => {}
        }
        None
    }

    /// Asks again for the details that are open.
    fn refresh(&mut self, changed: &Delivery) -> Option<Action> {
        match &self.page {
            Page::Details { delivery, .. } if delivery.id == changed.id => {
                Some(Action::Show(changed.clone()))
            }
            _ => None,
        }
    }

    fn show(&mut self, id: &str, answer: Result<Box<super::update::Details>, String>) {
        let row = self.live.of(id).cloned();
        let Page::Details { delivery, lines, .. } = &mut self.page else { return };
        if delivery.id != id {
            return;
        }
        match answer {
            Ok(told) => *lines = Some(details::lines(&told, row.as_ref())),
            Err(error) => self.status = Some(error),
        }
        self.wrap();
        self.scroll(0);
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: Key) -> Option<Action> {
        self.status = None;
        match key {
            Key::Quit => return Some(Action::Quit),
            Key::Help => self.page = Page::Help,
            Key::Back => self.page = Page::List,
            Key::Pause => self.pause(),
            Key::Enter => return self.open(),
            Key::Retry => return self.current().map(Action::Retry),
            Key::Forward => return self.forward_again(),
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            Key::PageUp => self.step(-self.page_len()),
            Key::PageDown => self.step(self.page_len()),
            Key::First => self.step(isize::MIN / 2),
            Key::Last => self.step(isize::MAX / 2),
        }
        self.keep_in_view();
        None
    }

    fn page_len(&self) -> isize {
        isize::try_from(self.room().saturating_sub(1).max(1)).unwrap_or(1)
    }

    fn pause(&mut self) {
        match self.paused.take() {
            None => self.paused = Some((self.live.clone(), 0)),
            Some((shown, _)) => {
                // Back to the same row, if it is still there.
                let id = shown.get(self.selected).map(|row| row.delivery.id.clone());
                let again = id.filter(|_| self.selected > 0);
                let found = again.and_then(|id| self.live.from(0).find(|(_, row)| row.delivery.id == id));
                self.selected = found.map_or(0, |(index, _)| index);
            }
        }
    }

    fn open(&mut self) -> Option<Action> {
        match self.page {
            Page::List => {
                let delivery = self.current()?;
                self.page = Page::Details {
                    delivery: Box::new(delivery.clone()),
                    lines: None,
                    wrapped: Vec::new(),
                    scroll: 0,
                };
                Some(Action::Show(delivery))
            }
            _ => None,
        }
    }

    fn forward_again(&mut self) -> Option<Action> {
        if self.forward.is_none() {
            self.status = Some("nothing is forwarded: start with --forward".to_owned());
            return None;
        }
        let delivery = self.current()?;
        self.live.forwarding(&delivery.id);
        self.asked = Some(delivery.id.clone());
        self.status = Some(format!("forwarding {}", delivery.id));
        Some(Action::Forward(delivery))
    }

    /// The delivery that is open or selected.
    fn current(&self) -> Option<Delivery> {
        match &self.page {
            Page::Details { delivery, .. } => Some((**delivery).clone()),
            Page::List => self.rows().get(self.selected).map(|Row { delivery, .. }| delivery.clone()),
            Page::Help => None,
        }
    }

    fn step(&mut self, by: isize) {
        match self.page {
            Page::List => {
                let last = self.rows().len().saturating_sub(1);
                self.selected = self.selected.saturating_add_signed(by).min(last);
            }
            Page::Details { .. } => self.scroll(by),
            Page::Help => {}
        }
    }

    fn scroll(&mut self, by: isize) {
        let room = self.room();
        if let Page::Details { wrapped, scroll, .. } = &mut self.page {
            *scroll = scroll.saturating_add_signed(by).min(wrapped.len().saturating_sub(room));
        }
    }

    fn wrap(&mut self) {
        if let Page::Details { lines: Some(lines), wrapped, .. } = &mut self.page {
            *wrapped = lines.iter().flat_map(|line| line.wrapped(self.columns)).collect();
        }
    }

    fn keep_in_view(&mut self) {
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
        if matches!(self.page, Page::List) {
            let room = self.room();
            self.first = self.first.min(self.selected).max((self.selected + 1).saturating_sub(room));
        }
        self.scroll(0);
    }
}

#[cfg(test)]
mod tests;
