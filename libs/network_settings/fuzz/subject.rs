//! What is fuzzed: settings of interfaces, as people write them.

use pith_network_settings::Settings;

/// Reads any text. What was read is written, and read again. True if they were settings.
pub fn network(data: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(data) else {
        return false;
    };
    match Settings::read(text) {
        Ok(settings) => {
            let written = settings.to_string();
            assert_eq!(Settings::read(&written), Ok(settings), "{written}");
            let parsed = Settings::parse(text);
            assert_eq!(parsed.is_ok(), Settings::parse(&written).is_ok());
            parsed.is_ok()
        }
        Err(problem) => {
            assert!(!problem.to_string().is_empty());
            false
        }
    }
}
