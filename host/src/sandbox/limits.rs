//! Resource limits of plugins, and the meter that enforces the memory limits.
//!
//! Fuel is the first limit. It counts instructions and the bytes of bulk operations, and is the same on every machine.
//! The deadline is the second limit, for work that fuel does not measure. It counts the **CPU time of the calling
//! thread**, not wall time: a plugin cannot wait for anything, so any other time is load from others, which must not
//! count against it. If a call gets too little CPU time, the engine fails, not the plugin (see [`super::deadline`]).
//!
//! The limits of fuel and output grow with the input, so that a large event alone does not exceed them.

use std::fmt;

use wasmtime::{ResourceLimiter, Trap};

/// Limits of a plugin. A call is one role of one step and has its own instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Fuel for one call, without the part for its input.
    pub fuel_base: u64,
    /// Additional fuel for each byte of input: the event, the draft and the settings.
    pub fuel_per_input_byte: u64,
    /// CPU time for one call, in milliseconds.
    pub deadline_ms: u64,
    /// Size of all linear memories of an instance, in bytes.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances in one component.
    pub core_instances: u32,
    /// Linear memories in one component.
    pub memories: u32,
    /// Tables in one component.
    pub tables: u32,
    /// Data that a guest may pass to the host in one call, in bytes, without the part for its input.
    pub output_base_bytes: usize,
    /// Additional bytes that it may pass for each byte of input.
    pub output_bytes_per_input_byte: usize,
    /// Size of the log of one step, in bytes.
    pub log_bytes: usize,
    /// Length of one log line, in bytes.
    pub log_line_bytes: usize,
    /// Native stack of one call, in bytes. The threads have at least four times as much.
    pub stack_bytes: usize,
    /// Size of an upload, in bytes.
    pub upload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_base: 50_000_000,
            fuel_per_input_byte: 2_000,
            deadline_ms: 500,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            core_instances: 64,
            memories: 4,
            tables: 16,
            output_base_bytes: 1 << 20,
            output_bytes_per_input_byte: 4,
            log_bytes: 8 << 10,
            log_line_bytes: 1 << 10,
            stack_bytes: 512 << 10,
            upload_bytes: 32 << 20,
        }
    }
}

impl Limits {
    /// Fuel for a call with this much input.
    pub(super) fn fuel(&self, input_bytes: usize) -> u64 {
        let input = u64::try_from(input_bytes).unwrap_or(u64::MAX);
        self.fuel_base.saturating_add(self.fuel_per_input_byte.saturating_mul(input))
    }

    /// Bytes that a guest may pass to the host in one call, with this much input.
    pub(super) fn output_bytes(&self, input_bytes: usize) -> usize {
        self.output_base_bytes.saturating_add(self.output_bytes_per_input_byte.saturating_mul(input_bytes))
    }
}

/// A denied request of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    Memory { wanted: usize, allowed: usize },
    Table { wanted: usize, allowed: usize },
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory { wanted, allowed } => {
                write!(f, "asked for {} of memory; the limit is {}", Size(wanted), Size(allowed))
            }
            Self::Table { wanted, allowed } => {
                write!(f, "asked for a table of {wanted} elements; the limit is {allowed}")
            }
        }
    }
}

/// Counts the memory of one store. Only this meter decides whether memory may grow, not the state of the pool, so the
/// same call always has the same result.
#[derive(Debug)]
pub(super) struct Meter {
    memory_limit: usize,
    table_limit: usize,
    instances: usize,
    memories: usize,
    tables: usize,
    memory_bytes: usize,
    pending: usize,
    peak_bytes: usize,
    denied: Option<Denied>,
    wasi_fuel: u64,
    wasi_fuel_limit: u64,
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
            instances: limits.core_instances as usize,
            memories: limits.memories as usize,
            tables: limits.tables as usize,
            memory_bytes: 0,
            pending: 0,
            peak_bytes: 0,
            denied: None,
            wasi_fuel: 0,
            wasi_fuel_limit: u64::MAX,
        }
    }

    /// Sets the fuel for WASI functions. They have no access to the store, so their fuel is counted here.
    pub(super) fn allow_wasi(&mut self, fuel: u64) {
        self.wasi_fuel_limit = fuel;
    }

    /// Fuel that WASI functions have used.
    pub(super) fn wasi_fuel(&self) -> u64 {
        self.wasi_fuel
    }

    /// Takes the fuel for a call of a WASI function.
    ///
    /// # Errors
    /// [`Trap::OutOfFuel`] if not enough is left.
    pub(super) fn charge_wasi(&mut self, fuel: u64) -> wasmtime::Result<()> {
        let used = self.wasi_fuel.saturating_add(fuel);
        self.wasi_fuel = used.min(self.wasi_fuel_limit);
        if used > self.wasi_fuel_limit { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
    }

    /// Peak size of linear memory, in bytes.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak_bytes as u64
    }

    /// The last denied request.
    pub(super) fn denied(&self) -> Option<Denied> {
        self.denied
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let wanted = self.memory_bytes.saturating_add(more);
        if wanted > self.memory_limit {
            self.denied = Some(Denied::Memory { wanted, allowed: self.memory_limit });
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false); // The module's own maximum, so nothing was denied.
        }
        self.pending = more;
        self.memory_bytes = wanted;
        self.peak_bytes = self.peak_bytes.max(wanted);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.pending).min(self.memory_bytes);
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_limit {
            self.denied = Some(Denied::Table { wanted: desired, allowed: self.table_limit });
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }
}

/// Formats a number of bytes: `64 MiB`, `1,536 KiB`, `12 bytes`.
pub(super) struct Size(pub usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => {
                write!(f, "{} MiB", Count((bytes >> 20) as u64))
            }
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => {
                write!(f, "{} KiB", Count((bytes >> 10) as u64))
            }
            bytes => write!(f, "{} bytes", Count(bytes as u64)),
        }
    }
}

/// Formats a number with thousands separators.
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Cuts `text` to at most `max` bytes at a character boundary, with `…` at the end if it was cut.
pub(super) fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Count(number).to_string(), text);
            assert_eq!(format!("{:>10}", Count(number)), format!("{text:>10}"));
        }
    }

    const PAGE: usize = 64 << 10;

    fn meter(pages: usize) -> Meter {
        Meter::new(&Limits { memory_bytes: pages * PAGE, table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn limits_grow_with_the_input_and_do_not_overflow() {
        let limits = Limits::default();
        assert_eq!((limits.fuel(0), limits.output_bytes(0)), (50_000_000, 1 << 20));
        assert_eq!((limits.fuel(900), limits.output_bytes(900)), (51_800_000, (1 << 20) + 3_600));
        assert_eq!((limits.fuel(usize::MAX), limits.output_bytes(usize::MAX)), (u64::MAX, usize::MAX));
    }

    #[test]
    fn all_memories_of_a_call_share_its_limit() {
        let mut meter = meter(4);
        assert!(meter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(meter.memory_growing(0, PAGE, None).unwrap(), "a second memory");
        assert!(!meter.memory_growing(PAGE, 3 * PAGE, Some(2 * PAGE)).unwrap());
        assert_eq!(meter.denied(), Some(Denied::Memory { wanted: 5 * PAGE, allowed: 4 * PAGE }));
        assert!(meter.memory_growing(PAGE, 2 * PAGE, None).unwrap());
        assert_eq!(meter.peak_bytes(), 4 * PAGE as u64);
    }

    #[test]
    fn a_memory_that_reaches_its_own_maximum_was_not_denied() {
        let mut meter = meter(4);
        assert!(!meter.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
        assert_eq!((meter.denied(), meter.peak_bytes()), (None, 0));
    }

    #[test]
    fn failed_growth_does_not_count() {
        let mut meter = meter(2);
        assert!(meter.memory_growing(0, 2 * PAGE, None).unwrap());
        meter.memory_grow_failed(wasmtime::format_err!("no memory")).unwrap();
        assert!(meter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert_eq!(meter.denied(), None);
    }

    #[test]
    fn tables_and_fuel_of_the_host_have_limits() {
        let mut meter = meter(1);
        assert!(meter.table_growing(0, 10, None).unwrap());
        assert!(!meter.table_growing(10, 11, None).unwrap());
        assert_eq!(meter.denied().unwrap().to_string(), "asked for a table of 11 elements; the limit is 10");
        meter.allow_wasi(100);
        assert!(meter.charge_wasi(60).is_ok() && meter.charge_wasi(40).is_ok());
        assert!(meter.charge_wasi(1).is_err());
        assert_eq!(meter.wasi_fuel(), 100, "at most the granted fuel");
    }

    #[test]
    fn numbers_and_texts_are_readable() {
        let sizes = [
            (0, "0 bytes"),
            (1_023, "1,023 bytes"),
            (1_024, "1 KiB"),
            (1_536 << 10, "1,536 KiB"),
            (64 << 20, "64 MiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Count(1_234_567).to_string(), "1,234,567");
        for (text, max, short) in
            [("abc", 3, "abc"), ("abcd", 3, "…"), ("aéé", 5, "aéé"), ("aééa", 5, "a…"), ("", 0, "")]
        {
            assert_eq!(shortened(text, max), short);
        }
    }
}
