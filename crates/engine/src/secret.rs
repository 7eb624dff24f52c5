//! Random text that nobody guesses.

use std::fmt::Write;

/// 128 random bits from the operating system, as 32 hexadecimal digits.
///
/// # Errors
/// The operating system has none to give.
pub fn token() -> Result<String, String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut bytes = [0; 16];
    let filled = provider.secure_random.fill(&mut bytes);
    filled.map_err(|_| "the operating system gives no random numbers".to_owned())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    }))
}
