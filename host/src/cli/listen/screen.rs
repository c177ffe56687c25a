//! Shows what happens on a terminal, until the user quits.

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::error::TryRecvError;

use super::plain::Start;
use super::session::Session;
use super::signals::{Job, JobSignals};
use super::state::{Action, State};
use super::terminal::{Input, Terminal, inputs};
use super::view;

/// How many updates are shown at once.
const MAX_TOGETHER: usize = 256;

/// See the module's head.
///
/// # Errors
/// Fails if the terminal cannot be used, or if the engine refuses to tell more.
pub(super) async fn run(mut session: Session, start: Start<'_>) -> Result<()> {
    let size = crossterm::terminal::size().context("cannot read the size of the terminal")?;
    let mut state = State::new(start.url, start.forward, size);
    let mut signals = JobSignals::listen()?;
    let mut terminal = Terminal::take().context("cannot use the terminal")?;
    let mut inputs = inputs();
    loop {
        terminal.show(&view::lines(&state), state.columns)?;
        let action = tokio::select! {
            input = inputs.recv() => match input {
                // The terminal is gone.
                None => return Ok(()),
                Some(input) => on_input(input, &mut state, &mut terminal)?,
            },
            update = session.next() => state.apply(update?),
            signal = signals.next() => {
                match signal {
                    Job::Stop => terminal.stop()?,
                    Job::GoOn => terminal.go_on()?,
                }
                None
            }
        };
        if do_action(action, &mut session) {
            return Ok(());
        }
        // What waits already is shown at once.
        for _ in 0..MAX_TOGETHER {
            let Some(update) = session.ready() else { break };
            let action = state.apply(update);
            do_action(action, &mut session);
        }
        loop {
            match inputs.try_recv() {
                Ok(input) => {
                    let action = on_input(input, &mut state, &mut terminal)?;
                    if do_action(action, &mut session) {
                        return Ok(());
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }
}

fn on_input(input: Input, state: &mut State, terminal: &mut Terminal) -> Result<Option<Action>> {
    match input {
        Input::Key(key) => Ok(state.press(key)),
        Input::Stop => {
            terminal.stop()?;
            Ok(None)
        }
        Input::Size(columns, lines) => {
            state.resize(columns, lines);
            terminal.clear()?;
            Ok(None)
        }
    }
}

/// Does what the user or the view wants. Returns whether that is to quit.
fn do_action(action: Option<Action>, session: &mut Session) -> bool {
    match action {
        None => {}
        Some(Action::Quit) => return true,
        Some(Action::Show(delivery)) => session.show(delivery),
        Some(Action::Retry(delivery)) => session.retry(delivery),
        Some(Action::Forward(delivery)) => session.forward(delivery),
    }
    false
}
