//! Recognizes the format of an upload by its first bytes, and wraps core modules in components.

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::limits::{Limits, shortened};
use super::{Refusal, UploadError};

/// Maximum number of exports of a core module in a message, and the maximum length of their names, in bytes.
const MAX_EXPORTS: usize = 8;
const MAX_NAME: usize = 100;
/// Magic number of compiled code, which is an ELF file.
const ELF: &[u8] = b"\x7fELF";
/// Magic number of WebAssembly.
const MAGIC: &[u8] = b"\0asm";
/// Version fields of a core module and of a component.
const VERSIONS: [&[u8]; 2] = [&[1, 0, 0, 0], &[0x0d, 0, 1, 0]];

/// Checks the size and the first bytes. The engine's own process reads nothing else of an upload.
///
/// # Errors
/// If the upload is not WebAssembly.
pub(super) fn check_header(upload: &[u8], limits: &Limits) -> Result<(), UploadError> {
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

/// Returns the component, after wrapping if the upload is a core module.
///
/// # Errors
/// If a core module cannot be wrapped.
pub(super) fn component(upload: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if Parser::is_core_wasm(upload) { wrapped(upload).map(Cow::Owned) } else { Ok(Cow::Borrowed(upload)) }
}

/// Wraps a core module that has its component type in a custom section.
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
                // Enough for the message.
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
        return UploadError::Invalid("the header is truncated or has an unknown version".to_owned());
    }
    let start: String = beginning.chars().take(12).collect();
    UploadError::NotWasm { beginning: format!("{start:?}") }
}
