//! The one wasmtime engine of the process, and its pool.
//!
//! Calls are synchronous, on threads of our own: no fibers, no `concurrency_support`. Features which
//! no plugin toolchain needs are off, each a piece of compiler that tenants' code can't reach. The
//! pool has exactly as many slots as all calls at once can need, so that it never decides anything.
//!
//! Measured with `tests/measure.rs` on a loaded machine of two cores, for a fresh instance and a
//! call with 1 KB: a Rust filter 25 µs (fuel costs 2 of them; with 10 KB 60 and 7), QuickJS 430 µs
//! with 2 MiB kept resident against 560 with half a MiB, and 830 without copy-on-write images,
//! which make no difference to the Rust filter.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, WasmFeatures,
};

use super::limits::Limits;

/// How much of a used memory is cleared by hand and kept, in bytes; what lies above goes back to the
/// operating system, which costs a system call for each instance.
const MEMORY_KEEP_RESIDENT: usize = 2 << 20;
/// The same for tables.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;

/// What no plugin's toolchain needs.
const UNNEEDED: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::GC)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::CM_ASYNC);

/// An engine for `calls` calls at once.
pub(super) fn build(limits: &Limits, calls: usize) -> wasmtime::Result<Engine> {
    Engine::new(&config(limits, calls))
}

/// What uploads may use: exactly what the engine compiles.
pub(super) fn features(engine: &Engine) -> WasmFeatures {
    engine.get_wasm_features()
}

fn config(limits: &Limits, calls: usize) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_features(UNNEEDED, false)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        // Compiling is one tenant's wish: it gets one core.
        .parallel_compilation(false)
        .native_unwind_info(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, calls)));
    config
}

fn pool(limits: &Limits, calls: usize) -> PoolingAllocationConfig {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX).max(1);
    let memories = calls.saturating_mul(limits.memories);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(limits.core_instances))
        .total_memories(memories)
        .total_tables(calls.saturating_mul(limits.tables))
        .max_core_instances_per_component(limits.core_instances)
        .max_memories_per_component(limits.memories)
        .max_tables_per_component(limits.tables)
        .max_tables_per_module(limits.tables)
        .max_memories_per_module(limits.memories)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(memories)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT);
    pool
}
