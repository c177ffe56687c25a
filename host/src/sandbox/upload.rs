//! From what was uploaded to a component: what it is at all, and wrapping core modules.

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

use super::UploadError;
use super::limits::Limits;

/// # Errors
/// What it is instead of a component or a module that can be made into one.
pub(super) fn component<'a>(upload: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, UploadError> {
    if upload.is_empty() {
        return Err(UploadError::Empty);
    }
    if upload.len() > limits.upload_bytes {
        return Err(UploadError::TooLarge { size: upload.len(), max: limits.upload_bytes });
    }
    if Engine::detect_precompiled(upload).is_some() {
        return Err(UploadError::Precompiled);
    }
    if Parser::is_component(upload) {
        return Ok(Cow::Borrowed(upload));
    }
    if Parser::is_core_wasm(upload) {
        return wrapped(upload).map(Cow::Owned);
    }
    Err(not_wasm(upload))
}

/// A component made of a core module that carries its component type in a custom section.
fn wrapped(module: &[u8]) -> Result<Vec<u8>, UploadError> {
    let mut typed = false;
    let mut preview1 = false;
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| UploadError::Invalid(error.to_string()))? {
            Payload::CustomSection(section) => typed |= section.name().starts_with("component-type"),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(|error| UploadError::Invalid(error.to_string()))?;
                    preview1 |= import.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
                }
            }
            _ => {}
        }
    }
    if !typed {
        return Err(UploadError::NoComponentType);
    }
    let refuse = |error| UploadError::Wrap(format!("{error:#}"));
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
