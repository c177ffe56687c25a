//! The one wasmtime engine of the process, and its pool.
//!
//! Calls are synchronous, on threads of our own: no fibers, no `concurrency_support`. Features which
//! no plugin toolchain needs are off, each a piece of compiler that tenants' code can't reach. The
//! pool has exactly as many slots as all calls at once can need, so that it never decides anything.
//!
//! Measured (2026-11, two cores): a store, an instance of a standard Rust plugin with 128 KiB of memory, and their
//! end take 3.4 µs. Of these the store takes 0.2, clearing and restoring the memory 0.9 (0.4 for each page of 64 KiB), and the
//! two small core modules by which `wit-component` ties imports to the memory they need 1.1. It makes no system call, so
//! long as the memory is not grown, which costs some 10 µs: the pages are opened, and closed before the slot is used again.
//! Without copy-on-write images it takes 0.4 µs more. Fuel costs a Rust filter a tenth of its call.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, VariableOperatorCost,
    WasmBacktraceDetails, WasmFeatures,
};

use super::limits::Limits;

/// How much of a used memory is cleared by hand and kept, in bytes; what lies above goes back to the
/// operating system, which costs a system call for each instance. Guests with an interpreter and its heap fit in: keeping a
/// quarter of it made such a guest's call a third longer.
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
    Engine::new(config(limits).allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, calls))))
}

/// One that only compiles, for any engine with the same settings. It has no pool, which would set aside gigabytes.
pub(super) fn compiler(limits: &Limits) -> wasmtime::Result<Engine> {
    Engine::new(config(limits).allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

/// What uploads may use: exactly what the engine compiles.
pub(super) fn features(engine: &Engine) -> WasmFeatures {
    engine.get_wasm_features()
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_features(UNNEEDED, false)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(costs())
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .native_unwind_info(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// What instructions cost in fuel. Nearly all cost 1. Those that leave the plugin's code for the engine's, which takes as long
/// as many of the others, cost more, so that a loop around them ends as soon as any other.
fn costs() -> OperatorCost {
    /// The greatest cost there is. It is too little for what the system does if memory grows for real, but that happens no more
    /// often than there is room to grow.
    const GROW: u8 = u8::MAX;
    /// Without the bytes and elements, which cost 1 each.
    const BULK: u8 = 20;
    OperatorCost {
        MemoryGrow: GROW,
        TableGrow: GROW,
        MemoryCopy: BULK,
        MemoryFill: BULK,
        MemoryInit: BULK,
        DataDrop: BULK,
        TableCopy: BULK,
        TableFill: BULK,
        TableInit: BULK,
        ElemDrop: BULK,
        variable: VariableOperatorCost { memory_grow_per_page: GROW, ..VariableOperatorCost::new() },
        ..OperatorCost::new()
    }
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
