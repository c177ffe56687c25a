//! The process's wasmtime engine and its instance pool.
//!
//! Calls are synchronous and run on dedicated threads: no fibers, no `concurrency_support`. Features that no plugin
//! toolchain needs are off, so tenants' code cannot reach those parts of the compiler. The pool has exactly as many
//! slots as concurrent calls can need, so it never refuses one.
//!
//! Measured (2026-11, two cores): creating and dropping a store and an instance of a standard Rust plugin with 128 KiB
//! of memory takes 3.4 µs: 0.2 for the store, 0.9 for clearing and restoring the memory (0.4 per page of 64 KiB), and
//! 1.1 for the two small core modules by which `wit-component` connects imports to their memory. It makes no system
//! call unless the memory grows, which takes about 10 µs to make the pages accessible and inaccessible again. Without
//! copy-on-write images it takes 0.4 µs more. Fuel metering takes a tenth of a Rust filter's call.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, VariableOperatorCost,
    WasmBacktraceDetails, WasmFeatures,
};

use super::limits::Limits;

/// Part of a used memory that is cleared and kept resident, in bytes. The rest goes back to the operating system, which
/// takes a system call per instance. An interpreter with its heap fits; with a quarter of this size its call took a
/// third longer.
const MEMORY_KEEP_RESIDENT: usize = 2 << 20;
/// The same for tables.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;

/// Features that no plugin toolchain needs.
const DISABLED: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::GC)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::CM_ASYNC);

/// Creates an engine for `calls` concurrent calls.
pub(super) fn build(limits: &Limits, calls: usize) -> wasmtime::Result<Engine> {
    Engine::new(config(limits).allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, calls))))
}

/// Creates an engine that only compiles. It has no pool, which would reserve gigabytes of address space.
pub(super) fn compiler(limits: &Limits) -> wasmtime::Result<Engine> {
    Engine::new(config(limits).allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

/// Returns the features that uploads may use: exactly those that the engine compiles.
pub(super) fn features(engine: &Engine) -> WasmFeatures {
    engine.get_wasm_features()
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_features(DISABLED, false)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(costs())
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .native_unwind_info(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Returns the fuel cost of instructions. Most cost 1. Instructions that call into the engine take as long as many
/// others and cost more, so that a loop of them runs out of fuel as soon as any other loop.
fn costs() -> OperatorCost {
    /// The maximum. It is too little for the system calls of a successful growth, but the memory limit bounds how
    /// often that happens.
    const GROW: u8 = u8::MAX;
    /// Base cost; each byte or element costs 1 more.
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
