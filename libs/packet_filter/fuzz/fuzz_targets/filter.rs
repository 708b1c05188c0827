#![no_main]

#[path = "../subject.rs"]
mod subject;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    subject::filter(data);
});
