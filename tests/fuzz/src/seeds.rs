//! Seeds, and inputs that hold several messages.

use std::path::Path;

/// Writes seeds into the folder that `MINIJOB_FUZZ_SEEDS` names; without it, nothing. The same call again writes the same.
///
/// # Panics
/// When the folder cannot be written.
pub fn seed(make: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("MINIJOB_FUZZ_SEEDS") else { return };
    for (number, bytes) in make().into_iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{number:02}")), bytes)
            .expect("seeds can be written");
    }
}

/// Splits an input into messages: each has its length before it, two bytes, little end first. A last one that is cut off is
/// taken as it is.
pub fn parts(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = input.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        input = rest;
        Some(part)
    })
}

/// Makes an input of messages.
///
/// # Panics
/// When one is longer than two bytes can say.
pub fn join<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = B>) -> Vec<u8> {
    let mut input = Vec::new();
    for part in parts {
        let part = part.as_ref();
        input.extend(u16::try_from(part.len()).expect("seeds are small").to_le_bytes());
        input.extend(part);
    }
    input
}
