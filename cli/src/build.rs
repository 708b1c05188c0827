//! `pith build`, and what `pith run` shares with it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pith_image::{BuildPlan, BuildRequest, Overridable};

use crate::arguments::{BuildArguments, ContentArguments, OverridableArgument};
use crate::failure::Failure;
use crate::{kernel, progress, text};

/// The manifest that `pith build` looks for by itself.
const MANIFEST: &str = "pith.toml";

/// What `pith build --json` prints.
#[derive(serde::Serialize)]
struct Built<'a> {
    #[serde(flatten)]
    summary: &'a pith_image::Summary,
    /// What was taken and left out, by rules for languages and others.
    notes: &'a [pith_image::Note],
}

/// Builds an image and says what was built.
pub fn build(arguments: &BuildArguments) -> Result<(), Failure> {
    let default = Path::new(MANIFEST);
    let manifest = match (&arguments.manifest, arguments.command.is_empty()) {
        (Some(_), false) => {
            return Err(Failure::usage(
                "both a manifest and a program are given",
                "leave out one of them; a manifest names its program itself",
            ));
        }
        (Some(manifest), true) => Some(manifest.as_path()),
        (None, true) if default.exists() => Some(default),
        (None, true) => {
            return Err(Failure::usage(
                "there is nothing to build: no program is named, and there is no ./pith.toml",
                "name a program (pith build -o IMAGE PROGRAM) or a manifest (-f)",
            ));
        }
        (None, false) => None,
    };
    let mut request = request(manifest, &arguments.command, &arguments.content)?;
    request.memory_mebibytes = arguments.content.memory.or(request.memory_mebibytes);
    request.cpus = arguments.content.cpus.or(request.cpus);
    request.trace |= arguments.content.trace;
    if let Some(level) = arguments.content.log {
        request.log_level = level.into();
    }
    if let Some(list) = &arguments.overridable {
        request.overridable = Overridable {
            arguments: list.contains(&OverridableArgument::Arguments),
            environment: list.contains(&OverridableArgument::Environment),
            working_directory: list.contains(&OverridableArgument::WorkingDirectory),
            network: list.contains(&OverridableArgument::Network),
            storage: list.contains(&OverridableArgument::Storage),
            user: list.contains(&OverridableArgument::User),
            diagnostics: list.contains(&OverridableArgument::Diagnostics),
        };
    }

    let output = &arguments.output;
    request.output = Some(output.clone());
    let message = format!("building {}", output.display());
    let (summary, plan) = progress::during(&message, || {
        let plan = plan(&request, false, arguments.content.verbose)?;
        let summary = pith_image::build(&plan, &kernel(), output)?;
        Ok::<_, Failure>((summary, plan))
    })?;
    match arguments.json {
        true => text::print(&json(&Built {
            summary: &summary,
            notes: plan.notes(),
        })?),
        false => text::print(&format!(
            "{}: {}, of which {} root file system with {} files\nsha256:{}\n",
            output.display(),
            text::size(summary.image_size),
            text::size(summary.root_size),
            summary.files,
            summary.digest,
        )),
    }
}

/// The request that a manifest, or else a command, and options make together.
pub fn request(
    manifest: Option<&Path>,
    command: &[OsString],
    content: &ContentArguments,
) -> Result<BuildRequest, Failure> {
    let mut request = match (manifest, command) {
        (Some(manifest), arguments) => {
            let mut request = BuildRequest::from_manifest(manifest)?;
            if !arguments.is_empty() {
                request.arguments = arguments.to_vec();
            }
            request
        }
        (None, [program, arguments @ ..]) => {
            let program = as_program(program)?;
            let mut request = BuildRequest::new(program);
            request.arguments = arguments.to_vec();
            request
        }
        (None, []) => {
            return Err(Failure::usage(
                "no program is named",
                "pith run PROGRAM, for example: pith run ls -la /",
            ));
        }
    };
    // Paths on the command line refer to the current directory, those in a manifest to its own.
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| {
            Failure::new(
                format_args!("the path `{}` can't be used: {error}", path.display()),
                "give an absolute path",
            )
        })
    };
    for file in &content.files {
        let mut file = file.clone();
        file.host = absolute(&file.host)?;
        request.files.push(file);
    }
    if let Some(root) = &content.root {
        request.root = Some(absolute(root)?);
    }
    request.environment.extend(
        content
            .environment
            .iter()
            .filter_map(|variable| variable.resolve()),
    );
    if let Some(directory) = &content.working_directory {
        request.working_directory = Some(directory.clone());
    }
    if let Some(user) = &content.user {
        request.user = Some(user.clone());
    }
    request.storage.extend(content.storage().cloned());
    Ok(request)
}

/// Refuses an option that clap took for the program, because whatever follows the options may start with a dash.
pub fn as_program(word: &OsString) -> Result<&OsString, Failure> {
    match word.as_bytes() {
        [b'-', _, ..] => Err(Failure::usage(
            format_args!("unknown option `{}`", word.display()),
            "see --help; for a program whose name starts with a dash, write ./ before it",
        )),
        _ => Ok(word),
    }
}

/// Plans an image and shows the planner's notes, and every file if `verbose` is set.
pub fn plan(request: &BuildRequest, quiet: bool, verbose: bool) -> Result<BuildPlan, Failure> {
    let plan = pith_image::plan(request)?;
    if !quiet {
        for note in plan.notes() {
            eprintln!("pith: note: {note}");
        }
    }
    if verbose {
        for (path, size) in plan.files() {
            eprintln!("pith: file: {} ({})", path.display(), text::size(size));
        }
    }
    Ok(plan)
}

/// Something as JSON with a newline at the end.
pub fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| {
            Failure::new(
                format_args!("can't write JSON: {error}"),
                "leave out --json",
            )
        })
}
