//! `pith.toml`: a build request as a file. `docs/pith-toml.md` documents every key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pith_abi::image::{LogLevel, Overridable};
use pith_network_settings::Settings;
use pith_storage_settings::Settings as StorageSettings;
use serde::Deserialize;

use crate::error::Error;
use crate::request::{BuildRequest, FileMapping, ModificationTimes, SystemFiles, parse_memory};

/// The keys of `pith.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    program: PathBuf,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    working_directory: Option<PathBuf>,
    user: Option<User>,
    hostname: Option<String>,
    memory: Option<toml::Spanned<Memory>>,
    cpus: Option<u32>,
    #[serde(default)]
    files: Vec<toml::Spanned<toml::Value>>,
    root: Option<PathBuf>,
    #[serde(default)]
    trace: bool,
    #[serde(default)]
    log_level: Level,
    network: Option<toml::Spanned<toml::Value>>,
    storage: Option<toml::Spanned<String>>,
    #[serde(default)]
    tmpfs: Vec<toml::Spanned<String>>,
    overridable: Option<Vec<Override>>,
    #[serde(default)]
    system_files: SystemFiles,
    #[serde(default)]
    modification_times: Times,
}

/// The long form of an entry of `files`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    host: PathBuf,
    guest: Option<PathBuf>,
}

/// One network card.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Interface {
    mac: Option<String>,
    addresses: Vec<String>,
    gateway: Option<String>,
    gateway6: Option<String>,
    routes: Vec<Route>,
    dns: Vec<String>,
    search: Vec<String>,
    mtu: Option<u16>,
    dhcp: bool,
    slaac: bool,
}

/// A way to another network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    to: String,
    via: String,
}

impl Interface {
    /// The same in the notation that the kernel reads, checked.
    fn settings(&self) -> Result<Settings, String> {
        let mut words = Vec::new();
        let mut word = |key: &str, value: &str| match value.contains(',') {
            true => Err(format!("`{value}` is not one value: it holds a comma")),
            false => {
                words.push(format!("{key}={value}"));
                Ok(())
            }
        };
        if let Some(mac) = &self.mac {
            word("mac", mac)?;
        }
        for address in &self.addresses {
            word(if address.contains(':') { "ip6" } else { "ip" }, address)?;
        }
        if let Some(gateway) = &self.gateway {
            word("gateway", gateway)?;
        }
        if let Some(gateway) = &self.gateway6 {
            word("gateway6", gateway)?;
        }
        for Route { to, via } in &self.routes {
            word("route", &format!("{to}@{via}"))?;
        }
        for server in &self.dns {
            word("dns", server)?;
        }
        for domain in &self.search {
            word("search", domain)?;
        }
        if let Some(mtu) = self.mtu {
            word("mtu", &mtu.to_string())?;
        }
        let flags = [(self.dhcp, "dhcp"), (self.slaac, "slaac")];
        words.extend(
            flags
                .iter()
                .filter(|flag| flag.0)
                .map(|flag| flag.1.to_owned()),
        );
        let settings = Settings::parse(&words.join(",")).map_err(|problem| problem.to_string())?;
        match settings.has_addressing() {
            true => Ok(settings),
            false => {
                Err("a network card needs `addresses`, `dhcp = true` or `slaac = true`".into())
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an amount of memory such as \"128M\"")]
enum Memory {
    Text(String),
    Mebibytes(u32),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a user such as \"daemon\" or 1000")]
enum User {
    Text(String),
    Number(u32),
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    #[default]
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Override {
    Arguments,
    Environment,
    WorkingDirectory,
    Network,
    Storage,
    User,
    Diagnostics,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(
    untagged,
    expecting = "expected \"keep\" or a number of seconds since 1970"
)]
enum Times {
    #[default]
    Unset,
    Named(Keep),
    Seconds(i64),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Keep {
    Keep,
}

/// Reads a manifest.
pub(crate) fn read(path: &Path) -> Result<BuildRequest, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Error::Missing {
                role: "manifest",
                path: path.into(),
            }
        } else {
            Error::unreadable(path)(error)
        }
    })?;
    let base = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    };
    parse(path, &text, base)
}

fn parse(path: &Path, text: &str, base: PathBuf) -> Result<BuildRequest, Error> {
    let at = |offset: usize, message: String| {
        let before = text.get(..offset).unwrap_or(text);
        Error::Manifest {
            path: path.into(),
            line: before.matches('\n').count() + 1,
            column: before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count()
                + 1,
            message,
        }
    };
    let from_toml = |error: &toml::de::Error, start: usize| {
        let offset = error.span().map_or(start, |span| start.max(span.start));
        at(offset, explain(error.message()))
    };
    let manifest: Manifest = toml::from_str(text).map_err(|error| from_toml(&error, 0))?;

    let mut files = Vec::new();
    for entry in manifest.files {
        let start = entry.span().start;
        files.push(match entry.into_inner() {
            toml::Value::String(mapping) => {
                FileMapping::parse(mapping).map_err(|error| at(start, error.to_string()))?
            }
            table @ toml::Value::Table(_) => {
                let file = File::deserialize(table).map_err(|error| from_toml(&error, start))?;
                if let Some(guest) = &file.guest
                    && !guest.is_absolute()
                {
                    let message = format!("guest path `{}` must start with `/`", guest.display());
                    return Err(at(start, message));
                }
                FileMapping {
                    host: file.host,
                    guest: file.guest,
                }
            }
            _ => {
                let message =
                    "an entry of `files` is \"HOST[:GUEST]\" or { host = \"…\", guest = \"…\" }";
                return Err(at(start, message.into()));
            }
        });
    }
    let memory_mebibytes = match manifest.memory {
        None => None,
        Some(memory) => {
            let start = memory.span().start;
            let text = match memory.into_inner() {
                Memory::Text(text) => text,
                Memory::Mebibytes(number) => number.to_string(),
            };
            Some(parse_memory(&text).map_err(|error| at(start, error.to_string()))?)
        }
    };
    let mut network = Vec::new();
    if let Some(value) = manifest.network {
        let start = value.span().start;
        let interfaces = match value.into_inner() {
            table @ toml::Value::Table(_) => vec![table],
            toml::Value::Array(list) => list,
            _ => {
                return Err(at(
                    start,
                    "write [network], or [[network]] for each of several cards".into(),
                ));
            }
        };
        for interface in interfaces {
            let interface =
                Interface::deserialize(interface).map_err(|error| from_toml(&error, start))?;
            network.push(interface.settings().map_err(|problem| at(start, problem))?);
        }
    }
    let mut storage = Vec::new();
    if let Some(options) = &manifest.storage {
        let settings = StorageSettings::with_options("/", options.get_ref());
        storage.push(settings.map_err(|problem| at(options.span().start, problem.to_string()))?);
    }
    for volume in &manifest.tmpfs {
        let settings = StorageSettings::parse(volume.get_ref());
        storage.push(settings.map_err(|problem| at(volume.span().start, problem.to_string()))?);
    }
    let overridable = manifest.overridable.map_or(
        Overridable {
            diagnostics: true,
            ..Overridable::default()
        },
        |list| {
            let mut overridable = Overridable::default();
            for item in list {
                match item {
                    Override::Arguments => overridable.arguments = true,
                    Override::Environment => overridable.environment = true,
                    Override::WorkingDirectory => overridable.working_directory = true,
                    Override::Network => overridable.network = true,
                    Override::Storage => overridable.storage = true,
                    Override::User => overridable.user = true,
                    Override::Diagnostics => overridable.diagnostics = true,
                }
            }
            overridable
        },
    );
    Ok(BuildRequest {
        output: None,
        program: manifest.program.into(),
        arguments: manifest.arguments.into_iter().map(Into::into).collect(),
        environment: manifest
            .environment
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        working_directory: manifest.working_directory,
        user: manifest.user.map(|user| match user {
            User::Text(text) => text,
            User::Number(number) => number.to_string(),
        }),
        hostname: manifest.hostname,
        memory_mebibytes,
        cpus: manifest.cpus,
        files,
        root: manifest.root,
        trace: manifest.trace,
        log_level: match manifest.log_level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        },
        network,
        storage,
        overridable,
        base,
        system_files: manifest.system_files,
        modification_times: match manifest.modification_times {
            Times::Unset | Times::Named(Keep::Keep) => ModificationTimes::Keep,
            Times::Seconds(seconds) => ModificationTimes::Fixed(seconds),
        },
    })
}

/// Turns what serde says about an unknown key or word into a sentence with the nearest known one.
///
/// serde's messages are ``unknown field `x`, expected one of `a`, `b` `` and the same with `variant`.
fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let kind = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "word"
    } else if message.starts_with("missing field")
        && let Some(key) = quoted.next()
    {
        return format!("key `{key}` is missing: add `{key} = …`");
    } else {
        return message.to_owned();
    };
    let Some(unknown) = quoted.next() else {
        return message.to_owned();
    };
    let known: Vec<&str> = quoted.collect();
    let nearest = known
        .iter()
        .map(|word| (distance(unknown, word), *word))
        .min()
        .filter(|&(distance, word)| {
            distance <= word.len().max(3) / 2
                || word.starts_with(unknown)
                || unknown.starts_with(word)
        });
    match nearest {
        Some((_, word)) => format!("unknown {kind} `{unknown}`: did you mean `{word}`?"),
        None => format!("unknown {kind} `{unknown}`: known are {}", known.join(", ")),
    }
}

/// How many letters must be inserted, removed or replaced to make one word of the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BuildRequest, Error> {
        parse(Path::new("pith.toml"), text, "base".into())
    }

    fn message(text: &str) -> String {
        read(text).expect_err("the manifest is wrong").to_string()
    }

    #[test]
    fn a_full_manifest_is_read() {
        let request = read(
            r#"
            program = "bin/server"
            arguments = ["--port", "80"]
            environment = { B = "2", A = "1" }
            working_directory = "/srv"
            user = "www-data:1000"
            hostname = "shop"
            memory = "128M"
            cpus = 2
            files = ["data:/srv/data", { host = "x", guest = "/y" }, { host = "z" }]
            root = "overlay"
            trace = true
            log_level = "debug"
            overridable = ["arguments", "user", "diagnostics"]
            system_files = "host"
            modification_times = 0
            "#,
        )
        .unwrap();
        assert_eq!(request.program, "bin/server");
        assert_eq!(request.environment[0], ("A".into(), "1".into()));
        assert_eq!(request.user.as_deref(), Some("www-data:1000"));
        assert_eq!(request.memory_mebibytes, Some(128));
        assert_eq!(request.files.len(), 3);
        assert_eq!(request.files[1].guest, Some("/y".into()));
        assert_eq!(request.log_level, LogLevel::Debug);
        assert!(request.overridable.arguments && !request.overridable.environment);
        assert!(request.overridable.user);
        assert_eq!(request.system_files, SystemFiles::Host);
        assert_eq!(request.modification_times, ModificationTimes::Fixed(0));
        assert_eq!(request.base, PathBuf::from("base"));
        let least = read("program = 'a'").unwrap();
        assert_eq!(least.modification_times, ModificationTimes::Keep);
        assert_eq!(least.system_files, SystemFiles::Minimal);
        let numbered = read("program = 'a'\nuser = 1000").unwrap();
        assert_eq!(numbered.user.as_deref(), Some("1000"));
        assert!(read("program = 'a'\nmodification_times = 'keep'").is_ok());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
        let text = message("program = 'a'\nmemry = '1G'\n");
        assert!(text.starts_with("pith.toml:2:1: "), "{text}");
        assert!(
            text.contains("`memry`") && text.contains("`memory`?"),
            "{text}"
        );
        let text = message("program = 'a'\nxyzzyxyzzy = 1\n");
        assert!(
            text.contains("known are") && text.contains("working_directory"),
            "{text}"
        );
        let text = message("program = 'a'\nfiles = [{ host = 'x', gest = '/y' }]\n");
        assert!(
            text.starts_with("pith.toml:2:") && text.contains("`guest`?"),
            "{text}"
        );
        let text = message("program = 'a'\nlog_level = 'warning'\n");
        assert!(text.contains("`warn`?"), "{text}");
        let text = message("program = 'a'\noverridable = ['argument']\n");
        assert!(
            text.starts_with("pith.toml:2:16") && text.contains("`arguments`?"),
            "{text}"
        );
    }

    #[test]
    fn file_systems_in_memory_are_read() {
        let request = read(
            r#"program = "a"
            storage = "size=64m"
            tmpfs = ["/tmp:size=50%,mode=1777", "/run"]
            overridable = ["storage"]"#,
        )
        .unwrap();
        let storage: Vec<String> = request.storage.iter().map(ToString::to_string).collect();
        assert_eq!(
            storage,
            ["/:size=67108864", "/tmp:size=50%,mode=1777", "/run"]
        );
        assert!(request.overridable.storage);
        for (text, part) in [
            ("storage = 'size=lots'", "is no size"),
            ("storage = 'mode=755'", "top directory"),
            ("tmpfs = ['tmp']", "no absolute path"),
            ("tmpfs = ['/tmp:noexec']", "not supported"),
        ] {
            let error = message(&format!("program = 'a'\n{text}\n"));
            assert!(error.contains(part) && error.contains(":2:"), "{error}");
        }
    }

    #[test]
    fn network_cards_are_read() {
        let text = |manifest: &str| {
            let request = read(&format!("program = 'a'\n{manifest}")).unwrap();
            let words = request.network.iter().map(ToString::to_string);
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(""), "");
        assert_eq!(text("[network]\ndhcp = true\nslaac = true"), "dhcp,slaac");
        let full = r#"
            [[network]]
            mac = "52:54:00:00:00:01"
            addresses = ["10.0.0.2/24", "fd00::2/64"]
            gateway = "10.0.0.1"
            gateway6 = "fe80::1"
            routes = [{ to = "10.9.0.0/16", via = "10.0.0.9" }]
            dns = ["10.0.0.1"]
            search = ["example.org"]
            mtu = 9000
            [[network]]
            slaac = true
        "#;
        assert_eq!(
            text(full),
            "mac=52:54:00:00:00:01,ip=10.0.0.2/24,ip6=fd00::2/64,gateway=10.0.0.1,gateway6=fe80::1,\
             route=10.9.0.0/16@10.0.0.9,dns=10.0.0.1,search=example.org,mtu=9000 slaac"
        );
        let request = read("program = 'a'\noverridable = ['network']").unwrap();
        assert!(request.overridable.network && !request.overridable.diagnostics);
        for (bad, reason) in [
            ("[network]\nadresses = ['10.0.0.2/24']", "`addresses`?"),
            ("[network]\naddresses = ['10.0.0.2']", "prefix length"),
            (
                "[network]\naddresses = ['10.0.0.2/24']\ngateway = '10.0.1.1'",
                "can't be reached",
            ),
            (
                "[network]\naddresses = ['10.0.0.2/24,dhcp']",
                "holds a comma",
            ),
            (
                "[network]\ndhcp = true\nroutes = [{ to = '10.9.0.0/16' }]",
                "`via` is missing",
            ),
            ("[network]\nmtu = 1500", "needs `addresses`"),
            ("network = 'dhcp'", "write [network]"),
        ] {
            let text = message(&format!("program = 'a'\n{bad}"));
            assert!(
                text.starts_with("pith.toml:2:") || text.starts_with("pith.toml:3:"),
                "{text}"
            );
            assert!(text.contains(reason), "{bad}: {text}");
        }
    }

    #[test]
    fn wrong_values_are_named_with_their_place() {
        assert!(message("memory = '1G'").contains("key `program` is missing"));
        let text = message("program = 'a'\nmemory = '1 parsec'\n");
        assert!(
            text.starts_with("pith.toml:2:10: ") && text.contains("1 parsec"),
            "{text}"
        );
        assert!(message("program = 'a'\ncpus = 'two'\n").starts_with("pith.toml:2:8: "));
        assert!(message("program = 'a'\nfiles = ['x:y']\n").starts_with("pith.toml:2:10: "));
        assert!(message("program = 'a'\nfiles = [1]\n").contains("HOST[:GUEST]"));
        assert!(message("program = \n").starts_with("pith.toml:1:"));
        assert!(
            message("program = 'a'\nmodification_times = 'never'").contains("seconds since 1970")
        );
    }

    /// The keys of the schema, from serde's own list.
    fn keys(text: &str) -> Vec<String> {
        let error = match toml::from_str::<Manifest>(text) {
            Ok(_) => panic!("an unknown key was accepted"),
            Err(error) => error.message().to_owned(),
        };
        error
            .split('`')
            .skip(3)
            .step_by(2)
            .map(Into::into)
            .collect()
    }

    #[test]
    fn every_key_is_documented() {
        let document = include_str!("../../docs/pith-toml.md");
        let keys = keys("program = 'a'\n_ = 1");
        assert!(keys.len() >= 14, "{keys:?}");
        for key in &keys {
            assert!(
                document.contains(&format!("### `{key}`")),
                "{key} is not in docs/pith-toml.md"
            );
        }
        let documented = document
            .lines()
            .filter(|line| line.starts_with("### `"))
            .count();
        assert_eq!(
            documented,
            keys.len(),
            "docs/pith-toml.md has keys that do not exist"
        );
    }

    #[test]
    fn the_documented_example_is_valid() {
        let document = include_str!("../../docs/pith-toml.md");
        let example = document
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        read(example.expect("docs/pith-toml.md has an example")).unwrap();
    }
}
