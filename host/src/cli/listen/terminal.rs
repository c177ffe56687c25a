//! The terminal: raw, with its alternate screen, and restored however the command ends.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use tokio::sync::mpsc::{Receiver, channel};

use super::line::Line;
use super::state::Key;

/// Whether the terminal must be restored. A panic may happen in any thread.
static IS_RAW: AtomicBool = AtomicBool::new(false);
/// How many keys wait.
const MAX_KEYS: usize = 64;

/// The terminal, until it is dropped.
pub(super) struct Terminal {
    has_styles: bool,
    /// What is on the screen.
    shown: Vec<String>,
}

/// What a terminal tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Key(Key),
    /// Ctrl-Z.
    Stop,
    Size(u16, u16),
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Fails if it cannot be made raw.
    pub(super) fn take() -> io::Result<Self> {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
        let has_styles = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        // From here on, dropping it restores the terminal.
        let terminal = Self { has_styles, shown: Vec::new() };
        make_raw()?;
        Ok(terminal)
    }

    /// Gives the terminal back, and stops the process until it is continued.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        restore();
        Ok(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?)
    }

    /// The process was continued: other programs may have changed the terminal meanwhile.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        restore();
        self.shown.clear();
        make_raw()
    }

    /// Shows these lines. Writes only what is different.
    pub(super) fn show(&mut self, lines: &[Line], columns: usize) -> io::Result<()> {
        if !IS_RAW.load(Ordering::SeqCst) {
            // It is given back, because the process stops or a thread panicked.
            return Ok(());
        }
        let lines: Vec<String> = lines.iter().map(|line| line.shown(columns, self.has_styles)).collect();
        let mut out = io::stdout().lock();
        for (index, line) in lines.iter().enumerate() {
            if self.shown.get(index) != Some(line) {
                let row = u16::try_from(index).unwrap_or(u16::MAX);
                queue!(out, cursor::MoveTo(0, row), Clear(ClearType::CurrentLine))?;
                out.write_all(line.as_bytes())?;
            }
        }
        self.shown = lines;
        out.flush()
    }

    /// The terminal has another size: everything is shown anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.shown.clear();
        execute!(io::stdout(), Clear(ClearType::All))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn make_raw() -> io::Result<()> {
    enable_raw_mode()?;
    IS_RAW.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide, Clear(ClearType::All))
}

fn restore() {
    if IS_RAW.swap(false, Ordering::SeqCst) {
        // There is nobody to whom a failure could be told.
        let _ = execute!(io::stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// What the terminal tells from now on. It ends with the terminal.
pub(super) fn inputs() -> Receiver<Input> {
    let (sender, inputs) = channel(MAX_KEYS);
    // Reading blocks. The thread ends with the process.
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            if let Some(input) = input_of(&event)
                && sender.blocking_send(input).is_err()
            {
                break;
            }
        }
    });
    inputs
}

fn input_of(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(columns, lines) => Some(Input::Size(*columns, *lines)),
        Event::Key(key) if key.is_release() => None,
        Event::Key(key)
            if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('z') =>
        {
            Some(Input::Stop)
        }
        Event::Key(key) => key_of(key).map(Input::Key),
        _ => None,
    }
}

fn key_of(key: &KeyEvent) -> Option<Key> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Key::Quit);
    }
    Some(match key.code {
        KeyCode::Char('j') | KeyCode::Down => Key::Down,
        KeyCode::Char('k') | KeyCode::Up => Key::Up,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::PageUp | KeyCode::Char('b') => Key::PageUp,
        KeyCode::Char('g') | KeyCode::Home => Key::First,
        KeyCode::Char('G') | KeyCode::End => Key::Last,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc | KeyCode::Backspace => Key::Back,
        KeyCode::Char('r') => Key::Retry,
        KeyCode::Char('f') => Key::Forward,
        KeyCode::Char('p') => Key::Pause,
        KeyCode::Char('?') => Key::Help,
        KeyCode::Char('q') => Key::Quit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_meanings() {
        let key = |code, modifiers| input_of(&Event::Key(KeyEvent::new(code, modifiers)));
        for (code, modifiers, expected) in [
            (KeyCode::Char('j'), KeyModifiers::NONE, Some(Key::Down)),
            (KeyCode::Char('G'), KeyModifiers::SHIFT, Some(Key::Last)),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Quit)),
            (KeyCode::Char('r'), KeyModifiers::CONTROL, None),
            (KeyCode::Char('x'), KeyModifiers::NONE, None),
        ] {
            assert_eq!(key(code, modifiers), expected.map(Input::Key), "{code:?}");
        }
        assert_eq!(key(KeyCode::Char('z'), KeyModifiers::CONTROL), Some(Input::Stop));
        assert_eq!(input_of(&Event::Resize(80, 24)), Some(Input::Size(80, 24)));
    }
}
