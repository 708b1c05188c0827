//! `pith inspect`.

use std::fmt::Write;
use std::path::Path;

use pith_image::Inspection;

use crate::arguments::InspectArguments;
use crate::build::json;
use crate::failure::Failure;
use crate::text;

/// Prints what is in an image, after checking it.
pub fn inspect(arguments: &InspectArguments) -> Result<(), Failure> {
    let inspection = pith_image::inspect(&arguments.image)?;
    match arguments.json {
        true => text::print(&json(&inspection)?),
        false => text::print(&render(&arguments.image, &inspection)),
    }
}

fn render(image: &Path, inspection: &Inspection) -> String {
    let mut output = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a string has no way to fail.
        let _ = writeln!(output, "{name:<18} {value}");
    };
    let list = |items: &[&str], none: &str| match items.is_empty() {
        true => none.to_owned(),
        false => items.join(", "),
    };
    let configuration = &inspection.configuration;
    let kernel = &inspection.kernel;
    row(
        "image",
        &format!(
            "{}, {}, format {}, intact",
            image.display(),
            text::size(inspection.image_size),
            inspection.image_version
        ),
    );
    row(
        "kernel",
        &format!(
            "{}, {} in the image, {} in memory",
            kernel.version,
            text::size(kernel.file_size),
            text::size(kernel.memory_size)
        ),
    );
    row("program", &configuration.program);
    let arguments: Vec<String> = configuration
        .arguments
        .iter()
        .map(|word| quote(word))
        .collect();
    row("arguments", &arguments.join(" "));
    for (index, variable) in configuration.environment.iter().enumerate() {
        row(if index == 0 { "environment" } else { "" }, variable);
    }
    row("working directory", &configuration.working_directory);
    row("user", &configuration.user);
    row("host name", &configuration.hostname);
    let memory = match configuration.memory_mebibytes {
        Some(mebibytes) => format!("{mebibytes} MiB"),
        None => "by the image's size".into(),
    };
    row("memory", &memory);
    row("processors", &configuration.cpus.to_string());
    let network: Vec<&str> = configuration.network.iter().map(String::as_str).collect();
    let none = match configuration.sockets {
        true => "left to the monitor",
        false => "left to the monitor; no program opens sockets",
    };
    row("network", &list(&network, none));
    let storage: Vec<&str> = configuration.storage.iter().map(String::as_str).collect();
    row("storage", &list(&storage, "half of memory"));
    row("messages from", configuration.log_level);
    row("trace", if configuration.trace { "on" } else { "off" });
    row("overridable", &list(&configuration.overridable, "nothing"));
    row("sha256", &inspection.digest);
    row(
        "root file system",
        &format!(
            "{}, {} entries",
            text::size(inspection.root_size),
            inspection.files.len()
        ),
    );
    output.push('\n');
    for file in &inspection.files {
        let target = match &file.target {
            Some(target) => format!(" -> {target}"),
            None => String::new(),
        };
        let size = match file.kind {
            "file" => text::size(file.size),
            kind => kind.to_owned(),
        };
        let _ = writeln!(
            output,
            "{:04o} {size:>11}  {}{target}",
            file.mode, file.path
        );
    }
    output
}

/// A word as a shell would need it.
fn quote(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-._~/:,+@=%".contains(character);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quote("-la"), "-la");
        assert_eq!(quote("two words"), "'two words'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
