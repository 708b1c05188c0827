//! Whole images: planned from programs of this machine, built around a small kernel, and read back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pith_image::{
    BuildRequest, Error, FileMapping, Inspection, Kernel, ModificationTimes, SystemFiles, build,
    cached_image, inspect, is_image, plan, read_configuration,
};

/// Physical address of the kernel of these tests.
const KERNEL_ADDRESS: u64 = 0x20_0000;

/// An ELF file with two loadable segments, the note of PVH inside the first, and a section table. It is
/// not a working kernel, but has the shape of one.
fn kernel() -> Vec<u8> {
    kernel_at(KERNEL_ADDRESS)
}

fn kernel_at(address: u64) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4u32, 4, 18] {
        note.extend_from_slice(&word.to_le_bytes());
    }
    note.extend_from_slice(b"Xen\0");
    note.extend_from_slice(&(address as u32).to_le_bytes());

    let mut elf = Vec::new();
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend_from_slice(&2u16.to_le_bytes()); // ET_EXEC
    elf.extend_from_slice(&62u16.to_le_bytes()); // EM_X86_64
    elf.extend_from_slice(&1u32.to_le_bytes());
    for value in [address, 64, 0x5000] {
        elf.extend_from_slice(&value.to_le_bytes());
    }
    elf.extend_from_slice(&0u32.to_le_bytes());
    for value in [64u16, 56, 3, 64, 1, 0] {
        elf.extend_from_slice(&value.to_le_bytes());
    }
    let mut segment = |kind: u32, offset: u64, physical: u64, file: u64, memory: u64| {
        elf.extend_from_slice(&kind.to_le_bytes());
        elf.extend_from_slice(&5u32.to_le_bytes());
        for value in [
            offset,
            0xffff_ffff_8000_0000u64.wrapping_add(physical),
            physical,
            file,
            memory,
            4096,
        ] {
            elf.extend_from_slice(&value.to_le_bytes());
        }
    };
    segment(1, 0x1000, address, 0x800, 0x800);
    segment(1, 0x2123, address + 0x1123, 0x100, 0x3000);
    segment(
        4,
        0x1010,
        address + 0x10,
        note.len() as u64,
        note.len() as u64,
    );
    elf.resize(0x6000, 0xcc);
    elf[0x1010..0x1010 + note.len()].copy_from_slice(&note);
    elf
}

fn build_with(request: &BuildRequest, output: &Path) -> Result<pith_image::Summary, Error> {
    let elf = kernel();
    build(
        &plan(request)?,
        &Kernel {
            elf: &elf,
            version: "1.2.3",
        },
        output,
    )
}

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    fn image(&self, request: &BuildRequest) -> Inspection {
        let path = self.at("image");
        build_with(request, &path).unwrap();
        inspect(&path).unwrap()
    }
}

fn find<'a>(inspection: &'a Inspection, path: &str) -> Option<&'a pith_image::FileInspection> {
    inspection.files.iter().find(|file| file.path == path)
}

fn minimal(program: &str) -> BuildRequest {
    BuildRequest {
        system_files: SystemFiles::Minimal,
        ..BuildRequest::new(program)
    }
}

#[test]
fn an_image_reads_back() {
    let bench = Bench::new();
    let output = bench.at("image");
    let request = BuildRequest {
        arguments: vec!["-la".into(), "/".into()],
        environment: vec![("HOME".into(), "/srv".into()), ("X".into(), "a=b".into())],
        working_directory: Some("/srv/data".into()),
        memory_mebibytes: Some(64),
        ..BuildRequest::new("ls")
    };
    let summary = build_with(&request, &output).unwrap();
    assert_eq!(fs::metadata(&output).unwrap().len(), summary.image_size);
    assert!(is_image(&output) && !is_image(Path::new("/bin/ls")) && !is_image(&bench.at("none")));

    let (header, configuration, size) = read_configuration(&output).unwrap();
    assert_eq!(size, summary.image_size);
    assert_eq!(header.root_length, summary.root_size);
    assert_eq!(configuration.kernel_version, "1.2.3");
    assert!(configuration.program.starts_with(b"/") && configuration.program.ends_with(b"/ls"));
    assert_eq!(configuration.arguments, [&b"ls"[..], b"-la", b"/"]);
    assert!(configuration.environment.contains(&b"HOME=/srv".to_vec()));
    assert!(configuration.environment.contains(&b"X=a=b".to_vec()));
    assert!(!configuration.environment.contains(&b"HOME=/root".to_vec()));

    let inspection = inspect(&output).unwrap();
    assert_eq!(inspection.digest, summary.digest);
    assert_eq!(inspection.kernel.payload_address, KERNEL_ADDRESS + 0x5000);
    assert_eq!(inspection.configuration.memory_mebibytes, Some(64));
    assert_eq!(find(&inspection, "/srv/data").unwrap().kind, "directory");
    assert_eq!(find(&inspection, "/tmp").unwrap().mode, 0o1777);
    let ls = find(&inspection, "/usr/bin/ls")
        .or(find(&inspection, "/bin/ls"))
        .unwrap();
    let host = fs::metadata("/bin/ls").unwrap();
    assert_eq!(
        (ls.size, ls.mode, ls.modified),
        (host.len(), host.mode() & 0o7777, host.mtime())
    );
    let passwd = find(&inspection, "/etc/passwd").unwrap();
    assert_eq!(passwd.size, fs::metadata("/etc/passwd").unwrap().len());
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["configuration"]["arguments"][1], "-la");
}

#[test]
fn the_segments_of_the_kernel_are_kept() {
    let bench = Bench::new();
    let output = bench.at("image");
    build_with(&minimal("/bin/true"), &output).unwrap();
    let bytes = fs::read(output).unwrap();
    let original = kernel();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    assert_eq!(
        bytes[56], 4,
        "two loadable segments, a note, and the payload"
    );
    assert_eq!(word(24), KERNEL_ADDRESS as usize);
    assert_eq!(word(40), 0, "sections are dropped");
    for (index, (start, length)) in [(0x1000, 0x800), (0x2123, 0x100), (0x1010, 20)]
        .into_iter()
        .enumerate()
    {
        let header = 64 + index * 56;
        let offset = word(header + 8);
        assert_eq!(
            bytes[offset..offset + length],
            original[start..start + length]
        );
        assert_eq!(offset % 4096, word(header + 16) % 4096, "page-congruent");
    }
    assert_eq!(
        word(64 + 2 * 56 + 8) - word(64 + 8),
        0x10,
        "the note lies in the first segment"
    );
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    bench.file("data/a", "a");
    fs::hard_link(bench.at("data/a"), bench.at("data/b")).unwrap();
    let request = BuildRequest {
        files: vec![FileMapping {
            host: bench.at("data"),
            guest: Some("/data".into()),
        }],
        ..BuildRequest::new("/usr/bin/python3")
    };
    build_with(&request, &bench.at("first")).unwrap();
    fs::write(bench.at("neighbour"), "changes the time of the directory").unwrap();
    build_with(&request, &bench.at("second")).unwrap();
    assert!(fs::read(bench.at("first")).unwrap() == fs::read(bench.at("second")).unwrap());

    // With fixed times, a copy of the sources gives the same image too.
    let copy = |name: &str, times| {
        bench.file(&format!("{name}/file"), "contents");
        let request = BuildRequest {
            files: vec![FileMapping {
                host: "file".into(),
                guest: Some("/file".into()),
            }],
            base: bench.at(name),
            modification_times: ModificationTimes::Fixed(times),
            ..minimal("/bin/true")
        };
        build_with(&request, &bench.at(&format!("{name}.image")))
            .unwrap()
            .digest
    };
    assert_eq!(copy("one", 7), copy("two", 7));
    assert_ne!(copy("one", 7), copy("two", 8));
}

#[test]
fn files_go_where_they_should() {
    let bench = Bench::new();
    bench.file("root/etc/passwd", "from the root");
    bench.file("root/etc/motd", "from the root");
    bench.file("root/srv/deep/er", "x");
    bench.file("motd", "from a file");
    symlink("er", bench.at("root/srv/deep/link")).unwrap();
    let named = bench.file("named/file", "named");
    symlink("file", bench.at("named/link")).unwrap();
    let request = BuildRequest {
        root: Some("root".into()),
        files: vec![
            FileMapping::parse("motd:/etc/motd").unwrap(),
            FileMapping::parse("named/link").unwrap(),
            FileMapping::parse("motd:/bin/placed").unwrap(),
        ],
        base: bench.directory.path().into(),
        ..BuildRequest::new("/bin/true")
    };
    let inspection = bench.image(&request);
    assert_eq!(find(&inspection, "/etc/passwd").unwrap().size, 13);
    assert_eq!(find(&inspection, "/etc/motd").unwrap().size, 11);
    assert_eq!(
        find(&inspection, "/srv/deep/link")
            .unwrap()
            .target
            .as_deref(),
        Some("er")
    );
    let named = named.canonicalize().unwrap();
    let link = named.with_file_name("link");
    assert_eq!(find(&inspection, named.to_str().unwrap()).unwrap().size, 5);
    assert_eq!(
        find(&inspection, link.to_str().unwrap())
            .unwrap()
            .target
            .as_deref(),
        Some("file")
    );
    // `/bin` is a link on merged systems, and stays one.
    let bin = Path::new("/bin").canonicalize().unwrap().join("placed");
    assert!(find(&inspection, bin.to_str().unwrap()).is_some());
    let modes: Vec<_> = inspection
        .files
        .iter()
        .map(|file| (&file.path, file.kind))
        .collect();
    assert!(
        modes.iter().filter(|(path, _)| *path == "/bin").count() == 1,
        "{modes:?}"
    );
}

#[test]
fn a_program_may_come_from_the_files() {
    let bench = Bench::new();
    fs::copy("/bin/true", bench.at("server")).unwrap();
    let request = BuildRequest {
        files: vec![FileMapping::parse("server:/opt/app/server").unwrap()],
        base: bench.directory.path().into(),
        ..minimal("/opt/app/server")
    };
    let inspection = bench.image(&request);
    assert_eq!(inspection.configuration.program, "/opt/app/server");
    assert!(find(&inspection, "/opt/app/server").is_some());
    assert!(
        inspection
            .files
            .iter()
            .any(|file| file.path.ends_with("libc.so.6"))
    );
}

#[test]
fn named_programs_bring_their_libraries() {
    let request = BuildRequest {
        files: vec![FileMapping::parse("/bin/ls").unwrap()],
        ..minimal("/bin/true")
    };
    let inspection = Bench::new().image(&request);
    assert!(
        inspection
            .files
            .iter()
            .any(|file| file.path.contains("libselinux.so"))
    );
}

#[test]
fn a_shell_has_the_names_that_it_has_on_the_host() {
    let bench = Bench::new();
    let request = BuildRequest {
        files: vec![FileMapping {
            host: fs::canonicalize("/bin/sh").unwrap(),
            guest: None,
        }],
        ..BuildRequest::new("/usr/bin/env")
    };
    let output = bench.at("image");
    build_with(&request, &output).unwrap();
    let inspection = inspect(&output).unwrap();
    // Where `/bin` is a link to where the shell lies, programs start `/bin/...` all the same.
    if let Ok(target) = fs::read_link("/bin") {
        let link = find(&inspection, "/bin").expect("`/bin` is missing");
        assert_eq!(link.target.as_deref(), target.to_str());
    }
    // No link of the root leads to what the image does not have.
    let links = inspection.files.iter().filter(|file| file.kind == "link");
    for link in links.filter(|link| !link.path[1..].contains('/')) {
        let target = Path::new("/").join(link.target.as_deref().unwrap());
        assert!(
            find(&inspection, target.to_str().unwrap()).is_some(),
            "{link:?}"
        );
    }
}

#[test]
fn python_brings_its_standard_library() {
    let request = BuildRequest::new("/usr/bin/python3");
    let plan = plan(&request).unwrap();
    let has = |part: &str| {
        plan.paths()
            .any(|path| path.to_str().is_some_and(|path| path.contains(part)))
    };
    assert!(has("/os.py") && has("/encodings/utf_8.py") && has("lib-dynload/"));
    assert!(has("libssl.so"), "libraries of modules in C");
    assert!(!has("/test/") && !has("/idlelib/") && !has("-packages/") && !has("_testcapi"));
    assert!(
        plan.notes().iter().any(|note| note.subject == "python"),
        "{:?}",
        plan.notes()
    );
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let bench = Bench::new();
    fs::create_dir(bench.at("root")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.at("root/socket")).unwrap();
    let base = BuildRequest {
        base: bench.directory.path().into(),
        ..minimal("/bin/true")
    };
    let error = plan(&BuildRequest {
        root: Some("root".into()),
        ..base.clone()
    })
    .unwrap_err();
    assert!(
        matches!(
            error,
            Error::SpecialFile {
                kind: "a socket",
                ..
            }
        ),
        "{error}"
    );
    let files = vec![FileMapping::parse("absent").unwrap()];
    let error = plan(&BuildRequest {
        files,
        ..base.clone()
    })
    .unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
    bench.file("plain", "x");
    let error = plan(&BuildRequest {
        root: Some("plain".into()),
        ..base.clone()
    })
    .unwrap_err();
    assert!(matches!(error, Error::RootNotADirectory { .. }));
    let files = vec![
        FileMapping::parse("plain:/a").unwrap(),
        FileMapping::parse("plain:/a/b").unwrap(),
    ];
    let error = plan(&BuildRequest {
        files,
        ..base.clone()
    })
    .unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    symlink("loop", bench.at("loop")).unwrap();
    let files = vec![FileMapping::parse("loop").unwrap()];
    assert!(
        plan(&BuildRequest {
            files,
            ..base.clone()
        })
        .is_err()
    );

    assert!(matches!(
        plan(&minimal("no-such-program-anywhere")),
        Err(Error::ProgramNotFound { .. })
    ));
    assert!(matches!(plan(&minimal("")), Err(Error::NoProgram)));
    for hostname in ["", "a b", &"x".repeat(65)] {
        let request = BuildRequest {
            hostname: Some(hostname.into()),
            ..base.clone()
        };
        assert!(matches!(plan(&request), Err(Error::BadValue { .. })));
    }
    let request = BuildRequest {
        environment: vec![("A=".into(), "".into())],
        ..base.clone()
    };
    assert!(matches!(plan(&request), Err(Error::BadValue { .. })));
    for cpus in [0, 65] {
        let request = BuildRequest {
            cpus: Some(cpus),
            ..base.clone()
        };
        assert!(matches!(plan(&request), Err(Error::BadValue { .. })));
    }
    let request = BuildRequest {
        working_directory: Some("relative".into()),
        ..base
    };
    assert!(matches!(plan(&request), Err(Error::BadValue { .. })));
}

#[test]
fn a_failed_build_leaves_nothing_behind() {
    let bench = Bench::new();
    let data = bench.file("data", "before");
    let request = BuildRequest {
        files: vec![FileMapping {
            host: data.clone(),
            guest: Some("/data".into()),
        }],
        ..minimal("/bin/true")
    };
    let plan = plan(&request).unwrap();
    fs::write(&data, "changed since").unwrap();
    fs::create_dir(bench.at("out")).unwrap();
    let elf = kernel();
    let kernel = Kernel {
        elf: &elf,
        version: "1",
    };
    let error = build(&plan, &kernel, &bench.at("out/image")).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    assert_eq!(fs::read_dir(bench.at("out")).unwrap().count(), 0);
    let error = build(&plan, &kernel, &bench.at("no/such/directory")).unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }), "{error}");
    for bad in [&elf[..100], b"", &fs::read("/bin/true").unwrap()] {
        let error = build(
            &plan,
            &Kernel {
                elf: bad,
                version: "1",
            },
            &bench.at("out/image"),
        )
        .unwrap_err();
        assert!(matches!(error, Error::BadKernel { .. }), "{error}");
    }
    let high = kernel_at((3 << 30) - 0x8000);
    let error = build(
        &plan,
        &Kernel {
            elf: &high,
            version: "1",
        },
        &bench.at("out/image"),
    )
    .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn damaged_images_are_recognised() {
    let bench = Bench::new();
    let output = bench.at("image");
    build_with(&minimal("/bin/true"), &output).unwrap();
    let bytes = fs::read(&output).unwrap();
    let damaged = bench.at("damaged");
    let cuts = (0..0x6000)
        .step_by(97)
        .chain((0..bytes.len()).step_by(40_009))
        .chain([bytes.len() - 1]);
    for length in cuts {
        fs::write(&damaged, &bytes[..length]).unwrap();
        assert!(
            matches!(inspect(&damaged), Err(Error::BadImage { .. })),
            "cut to {length}"
        );
        assert!(read_configuration(&damaged).is_err(), "cut to {length}");
    }
    // The payload starts behind the kernel's two segments.
    let payload = bytes
        .windows(8)
        .position(|window| window == b"PITHIMG\0")
        .unwrap();
    for position in [0, 8, 12, 16, 23, 31, 33, 47, 50, 90] {
        let mut changed = bytes.clone();
        changed[payload + position] ^= 0x41;
        fs::write(&damaged, &changed).unwrap();
        assert!(
            matches!(inspect(&damaged), Err(Error::BadImage { .. })),
            "byte {position}"
        );
    }
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&damaged, &changed).unwrap();
    let error = inspect(&damaged).unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
    fs::write(&damaged, kernel()).unwrap();
    let error = inspect(&damaged).unwrap_err();
    assert!(error.to_string().contains("no payload"), "{error}");
    assert!(inspect(Path::new("/bin/true")).is_err() && inspect(Path::new("/")).is_err());
    assert!(matches!(
        inspect(&bench.at("absent")),
        Err(Error::Missing { .. })
    ));
}

#[test]
fn a_repeated_build_comes_from_the_cache() {
    let bench = Bench::new();
    let cache = bench.at("cache/deep");
    let data = bench.file("data", "one");
    let request = BuildRequest {
        files: vec![FileMapping {
            host: data.clone(),
            guest: Some("/data".into()),
        }],
        ..minimal("/bin/true")
    };
    let elf = kernel();
    let kernel = Kernel {
        elf: &elf,
        version: "1",
    };
    let image = |request: &BuildRequest, kernel: &Kernel<'_>| {
        cached_image(&plan(request).unwrap(), kernel, &cache).unwrap()
    };
    let (first, cached) = image(&request, &kernel);
    assert!(!cached);
    assert_eq!(image(&request, &kernel), (first.clone(), true));
    let other = BuildRequest {
        trace: true,
        ..request.clone()
    };
    assert_ne!(image(&other, &kernel).0, first);
    assert_ne!(
        image(
            &request,
            &Kernel {
                version: "2",
                ..kernel
            }
        )
        .0,
        first
    );
    fs::write(&data, "two").unwrap();
    let (changed, cached) = image(&request, &kernel);
    assert!(changed != first && !cached);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!image(&request, &kernel).1);
    // What a directory has is part of the image as well, in so far as its file system keeps it.
    let directory = bench.at("with attributes");
    fs::create_dir(&directory).unwrap();
    let of_directory = BuildRequest {
        files: vec![FileMapping {
            host: directory.clone(),
            guest: Some("/directory".into()),
        }],
        ..minimal("/bin/true")
    };
    assert!(!image(&of_directory, &kernel).1);
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&directory, "user.origin", b"here", flags).is_ok() {
        let (attributed, cached) = image(&of_directory, &kernel);
        assert!(!cached);
        assert_eq!(image(&of_directory, &kernel), (attributed, true));
    }
    // An image that was cut off is built again.
    let (path, _) = image(&request, &kernel);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(5000).unwrap();
    assert_eq!(image(&request, &kernel), (path.clone(), false));
    assert!(inspect(&path).is_ok());
}

#[test]
fn concurrent_builds_do_not_disturb_each_other() {
    let bench = Bench::new();
    let plan = plan(&minimal("/bin/ls")).unwrap();
    let elf = kernel();
    std::thread::scope(|scope| {
        let builders: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let kernel = Kernel {
                        elf: &elf,
                        version: "1",
                    };
                    let (path, _) = cached_image(&plan, &kernel, bench.directory.path()).unwrap();
                    inspect(&path).unwrap();
                })
            })
            .collect();
        for builder in builders {
            builder.join().unwrap();
        }
    });
    assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), 1);
}
