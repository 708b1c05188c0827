//! What is fuzzed: settings of file systems in memory, as people write them.

use pith_storage_settings::Settings;

/// Reads any text. What was read is written, and read again. True if they were settings.
pub fn storage(data: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(data) else {
        return false;
    };
    match Settings::parse(text) {
        Ok(settings) => {
            assert!(settings.path.starts_with('/'));
            for memory in [0, 1 << 24, u64::MAX] {
                let _ = (settings.pages(memory), settings.most_files(memory));
            }
            let written = settings.to_string();
            assert_eq!(Settings::parse(&written), Ok(settings), "{written}");
            true
        }
        Err(problem) => {
            assert!(!problem.to_string().is_empty());
            false
        }
    }
}
