//! `pith run`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pith_abi::command_line as key;
use pith_image::{Configuration, Overridable};
use pith_monitor::accelerator::{Accelerator, HostFacts, Request, choose};
use pith_monitor::command_line::KernelCommandLine;
use pith_monitor::{HostStreams, MachineSpecification, Qemu, RunOptions};

use crate::arguments::{ContentArguments, RunArguments};
use crate::failure::Failure;
use crate::network::{Baked, Network};
use crate::{KERNEL, build, kernel, lacking, notice, progress, stats};

/// Least memory that a machine gets unless told otherwise, in MiB.
const LEAST_DEFAULT_MEMORY: u64 = 128;

/// Memory that a machine gets beyond twice its image unless told otherwise, in MiB.
const MEMORY_BEYOND_IMAGE: u64 = 64;

/// Runs a program or an image, and returns the status to exit with.
pub fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    let begin = Instant::now();
    let content = &arguments.content;
    let mut command_line = KernelCommandLine::new();

    let (image, cached, from_image) = match (&arguments.manifest, arguments.command.as_slice()) {
        (None, [image, words @ ..]) if pith_image::is_image(Path::new(image)) => {
            let image = PathBuf::from(image);
            refuse_build_options(&image, content)?;
            override_program(&image, words, content, &mut command_line)?;
            (image, true, true)
        }
        _ => {
            let (image, cached) = find_or_build(arguments)?;
            (image, cached, false)
        }
    };
    let (_, configuration, image_size) = pith_image::read_configuration(&image)?;
    override_diagnostics(&image, &configuration, content, &mut command_line)?;
    let image_time = begin.elapsed();

    let cpus = content.cpus.or(nonzero(configuration.cpus)).unwrap_or(1);
    let network = Network::open(
        &arguments.net,
        &arguments.publish,
        &Baked::of(&configuration, &image)?,
        cpus,
        arguments.quiet,
    )?;
    let specification = MachineSpecification {
        memory_mebibytes: content
            .memory
            .or(nonzero(configuration.memory_mebibytes))
            .unwrap_or_else(|| default_memory(image_size)),
        cpus,
        accelerator: accelerator(arguments, cpus, &configuration.program)?,
        machine_type: arguments.machine.into(),
        cpu_model: arguments.cpu.clone(),
        network: network.cards.clone(),
        command_line,
        image,
    };
    let options = RunOptions {
        timeout: arguments.timeout,
        quiet: arguments.quiet,
        kernel: Some(KERNEL),
    };
    let report = pith_monitor::run(
        &Qemu::from_environment(),
        &specification,
        HostStreams::standard(),
        &options,
    )?;
    if let Some(format) = arguments.stats {
        stats::show(format, image_time, cached, &report);
    }
    let status = report.status();
    // Who was told to end did not fail: 128 and SIGHUP, SIGINT or SIGTERM.
    let failed = !matches!(status, 0 | 129 | 130 | 143);
    if !from_image && !arguments.quiet && (failed || content.verbose) {
        lacking::tell(&report.lacking, content.verbose);
    }
    Ok(status)
}

/// The image of a program, from the cache or new. Says whether it was there.
fn find_or_build(arguments: &RunArguments) -> Result<(PathBuf, bool), Failure> {
    let content = &arguments.content;
    let mut request = build::request(arguments.manifest.as_deref(), &arguments.command, content)?;
    if !request.overridable.diagnostics {
        // The kernel command line would not be heard, so it goes into the image.
        request.trace |= content.trace;
        request.log_level = content.log.map_or(request.log_level, Into::into);
    }
    let message = format!("building an image of {}", request.program.display());
    progress::during(&message, || {
        let plan = build::plan(&request, arguments.quiet, content.verbose)?;
        Ok(pith_image::build_cached(&plan, &kernel())?)
    })
}

/// What is in an image was decided when it was built.
fn refuse_build_options(image: &Path, content: &ContentArguments) -> Result<(), Failure> {
    let given = [
        (!content.files.is_empty(), "--file"),
        (content.root.is_some(), "--root"),
    ];
    let Some((_, option)) = given.into_iter().find(|(given, _)| *given) else {
        return Ok(());
    };
    Err(Failure::usage(
        format_args!(
            "{option} can't change `{}`, which is an image",
            image.display()
        ),
        format_args!("give {option} to `pith build`"),
    ))
}

/// Overrides arguments, environment and working directory of an image, where it allows that.
fn override_program(
    image: &Path,
    words: &[OsString],
    content: &ContentArguments,
    line: &mut KernelCommandLine,
) -> Result<(), Failure> {
    let (_, configuration, _) = pith_image::read_configuration(image)?;
    let Overridable {
        arguments,
        environment,
        working_directory,
        storage,
        user,
        ..
    } = configuration.overridable;
    if !words.is_empty() {
        require(arguments, image, "arguments", "arguments")?;
        for word in words {
            line.push(key::ARGUMENT, word.as_bytes());
        }
    }
    for variable in &content.environment {
        require(environment, image, "environment", "environment")?;
        if let Some((name, value)) = variable.resolve() {
            let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
            line.push(key::ENVIRONMENT, &pair);
        }
    }
    if let Some(directory) = &content.working_directory {
        require(
            working_directory,
            image,
            "working directory",
            "working_directory",
        )?;
        line.push(key::WORKING_DIRECTORY, directory.as_os_str().as_bytes());
    }
    if let Some(text) = &content.user {
        require(user, image, "user", "user")?;
        let (user, home) = pith_image::find_user(image, text)?;
        let groups: Vec<String> = user.supplementary.iter().map(u32::to_string).collect();
        let numbers = format!("{}:{}:{}:", user.user, user.group, groups.join(","));
        line.push(key::USER, &[numbers.as_bytes(), &home].concat());
    }
    for settings in content.storage() {
        require(storage, image, "file systems in memory", "storage")?;
        line.push(key::STORAGE, settings.to_string().as_bytes());
    }
    Ok(())
}

/// Overrides what is told about the program, unless the image has it so already.
fn override_diagnostics(
    image: &Path,
    configuration: &Configuration,
    content: &ContentArguments,
    line: &mut KernelCommandLine,
) -> Result<(), Failure> {
    let allowed = configuration.overridable.diagnostics;
    if content.trace && !configuration.trace {
        require(allowed, image, "trace", "diagnostics")?;
        line.push(key::TRACE, b"1");
    }
    if let Some(level) = content.log
        && configuration.log_level != level.into()
    {
        require(allowed, image, "log level", "diagnostics")?;
        line.push(key::LOG, level.word().as_bytes());
    }
    Ok(())
}

fn require(allowed: bool, image: &Path, what: &str, entry: &str) -> Result<(), Failure> {
    match allowed {
        true => Ok(()),
        false => Err(Failure::new(
            format_args!(
                "the image `{}` does not let its {what} be changed",
                image.display()
            ),
            format_args!(
                "build it with overridable = [\"{entry}\"] in pith.toml, or with --overridable {}",
                entry.replace('_', "-")
            ),
        )),
    }
}

fn nonzero(value: u32) -> Option<u32> {
    (value != 0).then_some(value)
}

/// Memory in MiB for an image of `size` bytes: the image lies in memory, and its program may copy all of it.
fn default_memory(size: u64) -> u32 {
    let mebibytes = size.div_ceil(1 << 20);
    let memory = (2 * mebibytes + MEMORY_BEYOND_IMAGE).max(LEAST_DEFAULT_MEMORY);
    u32::try_from(memory).unwrap_or(u32::MAX)
}

/// Settles what executes the guest's instructions.
fn accelerator(
    arguments: &RunArguments,
    cpus: u32,
    program: &[u8],
) -> Result<Accelerator, Failure> {
    let request: Request = arguments.accel.into();
    // Whoever asks for TCG needs no device.
    let choice = match request {
        Request::Tcg => Accelerator::Tcg,
        Request::TcgInTurns => Accelerator::TcgInTurns,
        Request::Auto | Request::Kvm => find_accelerator(request, arguments.quiet)?,
    };
    if choice == Accelerator::Tcg && cpus > 1 && changes_running_code(program) {
        let message = "under QEMU's translation (TCG) the processors of a machine that runs Java take turns: side by \
                       side, QEMU may mix the old and the new half of an instruction that Java changes";
        notice::once("turns-notice", message, arguments.quiet);
        return Ok(Accelerator::TcgInTurns);
    }
    Ok(choice)
}

/// Whether a program is known to change code that other threads of it run at that time: Java virtual machines, by the
/// names of their commands and by the directory that distributions keep them in.
fn changes_running_code(program: &[u8]) -> bool {
    let mut names = program.rsplit(|&byte| byte == b'/');
    names
        .next()
        .is_some_and(|name| [&b"java"[..], b"javac", b"jshell"].contains(&name))
        || names.any(|name| name == b"jvm")
}

fn find_accelerator(request: Request, quiet: bool) -> Result<Accelerator, Failure> {
    let choice = choose(request, &HostFacts::gather()).map_err(|obstacle| {
        Failure::new(
            format_args!("KVM can't be used: {obstacle}"),
            obstacle.remedy(),
        )
    })?;
    if let Some(obstacle) = &choice.fallback {
        let message =
            format!("{obstacle}; QEMU translates instructions instead (TCG), which is slower");
        notice::once("accelerator-notice", &message, quiet);
    }
    Ok(choice.accelerator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_is_known_by_its_name_and_place() {
        for program in ["/usr/bin/java", "java", "/usr/lib/jvm/java-17/bin/jar"] {
            assert!(changes_running_code(program.as_bytes()), "{program}");
        }
        for program in ["/usr/bin/python3", "/opt/java/app", "/usr/bin/jvm"] {
            assert!(!changes_running_code(program.as_bytes()), "{program}");
        }
    }

    #[test]
    fn memory_grows_with_the_image() {
        assert_eq!(default_memory(0), 128);
        assert_eq!(default_memory(1 << 20), 128);
        assert_eq!(default_memory((32 << 20) + 1), 130);
        assert_eq!(default_memory(1 << 30), 2112);
        assert_eq!(default_memory(u64::MAX), u32::MAX);
    }

    #[test]
    fn what_an_image_does_not_allow_is_refused_with_its_key() {
        assert!(require(true, Path::new("i"), "arguments", "arguments").is_ok());
        let failure = require(
            false,
            Path::new("i"),
            "working directory",
            "working_directory",
        )
        .unwrap_err();
        assert_eq!(failure.status(), 125);
        let text = format!("{failure:?}");
        assert!(text.contains("--overridable working-directory"), "{text}");
    }
}
