//! The notation, there and back; and what is refused.

use pith_storage_settings::{Settings, Size};

fn reason(text: &str) -> String {
    Settings::parse(text).expect_err(text).to_string()
}

#[test]
fn every_word_is_read() {
    let text = "/var/tmp:size=64m,nr_inodes=10k,mode=1770,uid=5,gid=6,rw,exec";
    let settings = Settings::parse(text).unwrap();
    let expected = Settings {
        path: "/var/tmp".into(),
        size: Some(Size::Bytes(64 << 20)),
        files: Some(10 << 10),
        permissions: Some(0o1770),
        user: Some(5),
        group: Some(6),
    };
    assert_eq!(settings, expected);
    let written = settings.to_string();
    assert_eq!(
        written,
        "/var/tmp:size=67108864,nr_inodes=10240,mode=1770,uid=5,gid=6"
    );
    assert_eq!(Settings::parse(&written).unwrap(), settings);
}

#[test]
fn sizes_are_those_of_tmpfs() {
    const MEMORY: u64 = 100 << 20;
    for (options, pages) in [
        ("", Some(12_800)),
        ("size=50%", Some(12_800)),
        ("size=1", Some(1)),
        ("size=4097", Some(2)),
        ("size=1G", Some(262_144)),
        ("nr_blocks=3", Some(3)),
        ("size=1m,nr_blocks=2k", Some(2048)),
        ("size=0", None),
        ("size=0%", None),
    ] {
        let settings = Settings::with_options("/tmp", options).unwrap();
        assert_eq!(settings.pages(MEMORY), pages, "{options}");
    }
    for (options, files) in [
        ("", Some(12_800)),
        ("nr_inodes=7", Some(7)),
        ("nr_inodes=0", None),
    ] {
        let settings = Settings::with_options("/tmp", options).unwrap();
        assert_eq!(settings.most_files(MEMORY), files, "{options}");
    }
}

#[test]
fn paths_are_made_plain() {
    for (text, path) in [
        ("//tmp//", "/tmp"),
        ("/", "/"),
        ("/dev/shm:size=1m", "/dev/shm"),
    ] {
        assert_eq!(Settings::parse(text).unwrap().path, path);
    }
    for bad in [
        "", "tmp", "/a/../b", "/a/./b", "/a b", "/proc", "/proc/x", "/sys/", "/dev",
    ] {
        assert!(Settings::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, part) in [
        ("/tmp:size=lots", "`size=lots` is no size"),
        ("/tmp:size=", "is no size"),
        ("/tmp:size=99999999999t", "is no size"),
        ("/tmp:nr_inodes=-1", "is no number of files"),
        ("/tmp:mode=999", "is no mode"),
        ("/tmp:mode=17777", "is no mode"),
        ("/tmp:uid=x", "is no number of a user"),
        ("/tmp:noexec", "is not supported yet"),
        ("/tmp:huge=always", "is not known"),
        ("/tmp:rw=1", "is not known"),
        ("/:mode=755", "the image's top directory"),
    ] {
        assert!(reason(text).contains(part), "{text}: {}", reason(text));
    }
}
