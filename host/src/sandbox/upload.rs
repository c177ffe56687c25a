//! From what was uploaded to a component: what it is at all, by its first bytes, and wrapping core modules.

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::limits::{Limits, shortened};
use super::{Refusal, UploadError};

/// How many exports of a core module are named, and how much of each name, in bytes.
const MAX_EXPORTS: usize = 8;
const MAX_NAME: usize = 100;
/// How compiled code begins, which is an ELF file.
const ELF: &[u8] = b"\x7fELF";
/// How WebAssembly begins.
const MAGIC: &[u8] = b"\0asm";
/// What follows: a core module's version, or a component's.
const VERSIONS: [&[u8]; 2] = [&[1, 0, 0, 0], &[0x0d, 0, 1, 0]];

/// Looks at the size and the first bytes. This is all of an upload that the engine's own process reads.
///
/// # Errors
/// What it is instead of WebAssembly.
pub(super) fn glance(upload: &[u8], limits: &Limits) -> Result<(), UploadError> {
    if upload.is_empty() {
        return Err(UploadError::Empty);
    }
    if upload.len() > limits.upload_bytes {
        return Err(UploadError::TooLarge { size: upload.len(), max: limits.upload_bytes });
    }
    if upload.starts_with(ELF) {
        return Err(UploadError::Precompiled);
    }
    let version = upload.strip_prefix(MAGIC);
    if version.is_some_and(|version| VERSIONS.iter().any(|known| version.starts_with(known))) {
        return Ok(());
    }
    Err(not_wasm(upload))
}

/// The component that an upload is, or that it can be made into.
///
/// # Errors
/// Why a core module cannot be made into a component.
pub(super) fn component(upload: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if Parser::is_core_wasm(upload) { wrapped(upload).map(Cow::Owned) } else { Ok(Cow::Borrowed(upload)) }
}

/// A component made of a core module that carries its component type in a custom section.
fn wrapped(module: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut typed = false;
    let mut preview1 = false;
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| Refusal::Invalid(error.to_string()))? {
            Payload::CustomSection(section) => typed |= section.name().starts_with("component-type"),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(|error| Refusal::Invalid(error.to_string()))?;
                    preview1 |= import.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
                }
            }
            Payload::ExportSection(section) => {
                // Enough to tell what was built.
                for export in section.into_iter().take(MAX_EXPORTS) {
                    let export = export.map_err(|error| Refusal::Invalid(error.to_string()))?;
                    exports.push(format!("`{}`", shortened(export.name, MAX_NAME)));
                }
            }
            _ => {}
        }
    }
    let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    if !typed {
        return Err(Refusal::NoComponentType { exports: found });
    }
    let refuse = |error| Refusal::Wrap(format!("{error:#}; the module exports {found}"));
    let mut encoder = ComponentEncoder::default().module(module).map_err(refuse)?;
    if preview1 {
        encoder = encoder
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
            .map_err(refuse)?;
    }
    encoder.encode().map_err(refuse)
}

fn not_wasm(upload: &[u8]) -> UploadError {
    let beginning = String::from_utf8_lossy(&upload[..upload.len().min(64)]).into_owned();
    let trimmed = beginning.trim_start();
    if ["(component", "(module", ";;", "(;"].iter().any(|start| trimmed.starts_with(start)) {
        return UploadError::Text;
    }
    if upload.starts_with(b"\0asm") {
        return UploadError::Invalid("its header is cut off or of an unknown version".to_owned());
    }
    let start: String = beginning.chars().take(12).collect();
    UploadError::NotWasm { beginning: format!("{start:?}") }
}
