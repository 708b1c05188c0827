//! Packages of Python that were installed in addition to the standard library.
//!
//! A **virtual environment** was made for its application and is taken whole, without `pip`. Of **packages for
//! everybody** those are taken that the application's words name, and by and by what their sources import and what
//! their distribution says that it requires (`Requires-Dist`); of a distribution, everything that it installed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::application::{self, Application};
use super::gather::{self, Taken};
use super::{Basket, Note, Start};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::tree::Found;

/// Where the module `zoneinfo` looks first for the rules of time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Where this Python looks for packages.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// A virtual environment's `site-packages`, and its `pyvenv.cfg`.
    environment: Option<(PathBuf, PathBuf)>,
    /// Directories for all programs.
    common: Vec<PathBuf>,
    /// Directories that the environment names (`PYTHONPATH`).
    named: Vec<PathBuf>,
}

impl Places {
    /// Finds them (documentation of the module `site`; Debian's are called `dist-packages`).
    pub fn find(
        program: &Program,
        start: &Start,
        library: &Path,
        name: &str,
        closure: &Closure<'_>,
    ) -> Result<Self, Error> {
        let mut places = Self {
            named: start.directories("PYTHONPATH"),
            ..Self::default()
        };
        // The directory of the interpreter's name as it was started, or the one above.
        for directory in program.path.ancestors().skip(1).take(2) {
            let configuration = directory.join("pyvenv.cfg");
            if gather::is_file(closure, &configuration)? {
                let packages = directory.join("lib").join(name).join("site-packages");
                let text = gather::contents(closure, &configuration)?;
                places.environment = Some((packages, configuration));
                if !includes_common(&text) {
                    return Ok(places);
                }
                break;
            }
        }
        let mut common = vec![
            PathBuf::from("/usr/local/lib")
                .join(name)
                .join("dist-packages"),
            library.with_file_name("python3").join("dist-packages"),
            library.join("dist-packages"),
            library.join("site-packages"),
        ];
        if let Some(home) = start.variable("HOME") {
            let own = Path::new(&home).join(".local/lib").join(name);
            common.push(own.join("site-packages"));
        }
        for directory in common {
            // A home that belongs to somebody else may not be looked into.
            if let Ok(Found::Directory(directory)) = closure.tree.find(&directory)
                && !places.common.contains(&directory)
            {
                places.common.push(directory);
            }
        }
        Ok(places)
    }
}

/// Whether a `pyvenv.cfg` has the packages for everybody used as well.
fn includes_common(configuration: &str) -> bool {
    configuration.lines().any(|line| {
        line.split_once('=').is_some_and(|(key, value)| {
            key.trim() == "include-system-site-packages"
                && value.trim().eq_ignore_ascii_case("true")
        })
    })
}

/// Takes the packages that an application needs.
pub(super) fn take(
    application: &Application,
    places: &Places,
    program: &Program,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let loaded = program.loaded.as_ref();
    let mut whole = Taken::default();
    let mut common = places.common.clone();
    if let Some((packages, configuration)) = &places.environment {
        // The interpreter finds its environment by the name under which it was started, which may be relative.
        basket.uses_directory = true;
        whole.extend(gather::file(basket.closure, None, configuration)?);
        let with_pip = application.words.contains("pip");
        whole.extend(gather::directory(
            basket.closure,
            loaded,
            packages,
            &mut |path, _| with_pip || !path.ends_with("site-packages/pip"),
        )?);
        for path in named_elsewhere(basket.closure, packages)? {
            // Packages for everybody may be named too, of which only those are taken that are needed.
            let is_directory = matches!(basket.closure.tree.find(&path)?, Found::Directory(_));
            match is_directory && !application::is_own(&path) {
                true => common.push(path),
                false => whole.extend(gather::either(basket.closure, loaded, &path)?),
            }
        }
    }
    for directory in &places.named {
        whole.extend(gather::either(basket.closure, loaded, directory)?);
    }
    if !whole.files.is_empty() {
        tell(
            &format!("took the packages of the environment: {whole}"),
            &whole,
            basket,
        );
    }
    let mut installed = Installed::read(basket.closure, &common)?;
    let named = installed
        .names()
        .filter(|name| application.words.contains(name));
    let mut wanted: Vec<String> = named.map(str::to_owned).collect();
    for file in whole.files.iter().filter(|file| is_source(file)) {
        let text = gather::contents(basket.closure, file)?;
        wanted.extend(imports(&text).map(str::to_owned));
    }
    let mut done = BTreeSet::new();
    let mut taken = Taken::default();
    let mut has_zones = application.words.contains("zoneinfo");
    while let Some(name) = wanted.pop() {
        has_zones |= name == "zoneinfo";
        let Some(module) = installed.modules.remove(&name) else {
            continue;
        };
        for path in &module.paths {
            let part = gather::either(basket.closure, loaded, path)?;
            for file in part.files.iter().filter(|file| is_source(file)) {
                let text = gather::contents(basket.closure, file)?;
                wanted.extend(imports(&text).map(str::to_owned));
            }
            taken.extend(part);
        }
        wanted.extend(module.companions);
        done.insert(name);
    }
    if !taken.files.is_empty() {
        let names = done
            .iter()
            .filter(|name| !name.contains('.') && !name.starts_with('_'))
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        tell(
            &format!("took the installed packages {names}: {taken}"),
            &taken,
            basket,
        );
    }
    if has_zones {
        let zones = gather::either(basket.closure, None, Path::new(ZONES))?;
        if !zones.files.is_empty() {
            tell(
                &format!("took the time zones `{ZONES}`: {zones}"),
                &zones,
                basket,
            );
        }
    }
    let left: Vec<String> = installed
        .left_in()
        .iter()
        .map(|directory| format!("`{}`", directory.display()))
        .collect();
    if !left.is_empty() {
        basket.notes.push(Note::new(
            "python",
            format!(
                "left out installed packages in {}, which the program does not name; add those you need with --file",
                left.join(" and ")
            ),
        ));
    }
    Ok(())
}

/// Files and directories elsewhere that a directory of packages names: in the lines of files `.pth` (documentation of the
/// module `site`), and in the finders of packages that were installed as they are developed (`pip install -e`).
fn named_elsewhere(closure: &Closure<'_>, packages: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for name in gather::names(closure, packages)? {
        let path = packages.join(&name);
        if name.ends_with(".pth") {
            let text = gather::contents(closure, &path)?;
            found.extend(directories_of(&text).map(|line| packages.join(line)));
        } else if is_finder(&name) {
            let text = gather::contents(closure, &path)?;
            for (_, path) in mapping(&text) {
                // A module may be a single file, and its ending is not told then.
                found.extend([path.with_extension("py"), path]);
            }
        }
    }
    found.retain(|path| !matches!(closure.tree.find(path), Ok(Found::Nothing) | Err(_)));
    Ok(found)
}

/// The directories in a file `.pth`. A line that begins with `import` is code.
fn directories_of(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("import"))
}

/// Whether a module finds a package that was installed as it is developed: `__editable___NAME_VERSION_finder.py`.
fn is_finder(name: &str) -> bool {
    name.starts_with("__editable__") && name.ends_with("_finder.py")
}

/// Names of packages and where they lie, of a finder that setuptools wrote: `MAPPING = {'NAME': '/PATH'}`.
fn mapping(finder: &str) -> Vec<(String, PathBuf)> {
    let lines = finder.lines();
    let lines = lines.filter(|line| line.starts_with("MAPPING"));
    let table: String = lines
        .filter_map(|line| Some(line.split_once('{')?.1))
        .collect();
    // Within quotes is every second part.
    let parts: Vec<&str> = table.split(['\'', '"']).skip(1).step_by(2).collect();
    parts
        .chunks_exact(2)
        .filter(|pair| pair[1].starts_with('/'))
        .map(|pair| (pair[0].to_owned(), PathBuf::from(pair[1])))
        .collect()
}

fn tell(message: &str, taken: &Taken, basket: &mut Basket<'_, '_>) {
    let mut message = message.to_owned();
    if !taken.lacking.is_empty() {
        message += &format!("; libraries are missing for {}", taken.lacking.join(", "));
    }
    basket.notes.push(Note::new("python", message));
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py")
}

/// Something at the top of a directory of packages.
#[derive(Clone, Debug, Default)]
struct Module {
    /// Its files and directories.
    paths: Vec<PathBuf>,
    /// Names of others that belong to it or that it requires.
    companions: Vec<String>,
}

/// What is installed, by the name under which it is imported. The records of distributions count as modules with a
/// point in their names.
#[derive(Clone, Debug, Default)]
struct Installed {
    modules: BTreeMap<String, Module>,
}

impl Installed {
    fn read(closure: &Closure<'_>, directories: &[PathBuf]) -> Result<Self, Error> {
        let mut installed = Self::default();
        // What a distribution is called, and what it installed.
        let mut distributions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Directories, and the file that names each: without it nothing in there is found.
        let mut pending: Vec<(PathBuf, Option<String>)> = directories
            .iter()
            .map(|path| (path.clone(), None))
            .collect();
        let mut seen = HashSet::new();
        while let Some((directory, named_by)) = pending.pop() {
            if !seen.insert(directory.clone()) {
                continue;
            }
            for name in gather::names(closure, &directory)? {
                let path = directory.join(&name);
                if name == "__pycache__" || name == "README" {
                    continue;
                }
                if name.ends_with(".pth") {
                    let text = gather::contents(closure, &path)?;
                    for line in directories_of(&text) {
                        if let Found::Directory(further) =
                            closure.tree.find(&directory.join(line))?
                        {
                            pending.push((further, Some(name.clone())));
                        }
                    }
                } else if is_finder(&name) {
                    installed.add_found(&name, &gather::contents(closure, &path)?);
                }
                let module = installed.add(closure, &directory, &name, &mut distributions)?;
                if let (Some(module), Some(by)) = (module, &named_by) {
                    module.companions.push(by.clone());
                }
            }
        }
        // Requirements are names of distributions; they become names of what these installed.
        for module in installed.modules.values_mut() {
            let companions = std::mem::take(&mut module.companions);
            module.companions = companions
                .into_iter()
                .flat_map(|name| match name.strip_prefix("requires ") {
                    Some(distribution) => {
                        distributions.get(distribution).cloned().unwrap_or_default()
                    }
                    None => vec![name],
                })
                .collect();
        }
        Ok(installed)
    }

    /// Adds a file or directory of a directory of packages. Answers the module that it is, unless it is a record.
    fn add(
        &mut self,
        closure: &Closure<'_>,
        directory: &Path,
        name: &str,
        distributions: &mut BTreeMap<String, Vec<String>>,
    ) -> Result<Option<&mut Module>, Error> {
        let path = directory.join(name);
        let record = name
            .strip_suffix(".dist-info")
            .or_else(|| name.strip_suffix(".egg-info"));
        let Some(distribution) = record else {
            let module = importable(name).unwrap_or(name);
            let entry = self.modules.entry(module.to_owned()).or_default();
            entry.paths.push(path);
            return Ok(Some(entry));
        };
        let distribution = normalised(distribution.split('-').next().unwrap_or_default());
        let mut owned = owned(closure, &path)?;
        if owned.is_empty() {
            owned.push(distribution.replace('-', "_"));
        }
        let mut metadata = gather::contents(closure, &path.join("METADATA"))?;
        if metadata.is_empty() {
            metadata = gather::contents(closure, &path.join("requires.txt"))?;
        }
        let requirements = requirements(&metadata).map(|name| format!("requires {name}"));
        let mut companions = owned.clone();
        companions.extend(requirements);
        companions.push(name.to_owned());
        for module in &owned {
            let entry = self.modules.entry(module.clone()).or_default();
            entry.companions.extend(companions.clone());
        }
        self.modules
            .entry(name.to_owned())
            .or_default()
            .paths
            .push(path);
        distributions.entry(distribution).or_default().extend(owned);
        Ok(None)
    }

    /// Adds the packages that a finder knows.
    fn add_found(&mut self, finder: &str, text: &str) {
        for (name, path) in mapping(text) {
            let entry = self.modules.entry(name).or_default();
            entry.paths.extend([path.with_extension("py"), path]);
            let finder = importable(finder).unwrap_or(finder);
            entry.companions.push(finder.to_owned());
        }
    }

    /// Names that sources can import.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.modules
            .iter()
            .filter(|(_, module)| !module.paths.is_empty())
            .map(|(name, _)| name.as_str())
    }

    /// The directories of what is left, sorted.
    fn left_in(&self) -> BTreeSet<&Path> {
        self.modules
            .values()
            .flat_map(|module| &module.paths)
            .filter_map(|path| path.parent())
            .collect()
    }
}

/// The name under which a file or directory is imported: `x` of `x.py`, `x.cpython-311-x86_64-linux-gnu.so` and `x`.
fn importable(name: &str) -> Option<&str> {
    let is_module = name.ends_with(".py") || name.ends_with(".so");
    match name.split_once('.') {
        Some((stem, _)) if is_module => Some(stem),
        Some(_) => None,
        None => Some(name),
    }
}

/// The names at the top of what a distribution installed, by its record.
fn owned(closure: &Closure<'_>, record: &Path) -> Result<Vec<String>, Error> {
    let list = gather::contents(closure, &record.join("RECORD"))?;
    let mut names: BTreeSet<String> = list
        .lines()
        .filter_map(|line| line.split(['/', ',']).next())
        .filter(|name| !name.is_empty() && *name != ".." && *name != "__pycache__")
        .filter(|name| !name.ends_with(".dist-info"))
        .map(|name| importable(name).unwrap_or(name).to_owned())
        .collect();
    let top = gather::contents(closure, &record.join("top_level.txt"))?;
    names.extend(
        top.lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
    );
    Ok(names.into_iter().collect())
}

/// The distributions that another requires, without those for its optional parts.
fn requirements(metadata: &str) -> impl Iterator<Item = String> {
    let is_list = !metadata.contains("Metadata-Version");
    metadata
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(move |line| match is_list {
            true => Some(line),
            false => line.strip_prefix("Requires-Dist:"),
        })
        .filter(|line| !line.contains("extra =="))
        .filter_map(|line| {
            let line = line.trim_start();
            let end = line
                .find(|character: char| !(character.is_alphanumeric() || "-_.".contains(character)))
                .unwrap_or(line.len());
            (end > 0).then(|| normalised(&line[..end]))
        })
}

/// The name of a distribution in the form in which names are compared (PEP 503).
fn normalised(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The names at the top of what a source imports.
fn imports(source: &str) -> impl Iterator<Item = &str> {
    source.lines().flat_map(|line| {
        let line = line.trim_start().trim_start_matches(">>> ");
        let list = match (line.strip_prefix("import "), line.strip_prefix("from ")) {
            (Some(list), _) => list,
            (_, Some(list)) => list.split(" import").next().unwrap_or_default(),
            _ => "",
        };
        list.split(',').filter_map(|name| {
            let name = name.trim();
            let end = name
                .find(|character: char| !(character.is_alphanumeric() || character == '_'))
                .unwrap_or(name.len());
            (end > 0).then(|| &name[..end])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_read() {
        let source = "import a, b.c as d\nfrom e.f import (g,\n  h)\n  import i # x\nfrom . import j\nfrom .k import l\nimportant = 1\n";
        assert_eq!(imports(source).collect::<Vec<_>>(), ["a", "b", "e", "i"]);
    }

    #[test]
    fn finders_say_where_packages_lie() {
        let finder = "from x import y\nMAPPING: dict[str, str] = {'one': '/src/lib/one', \"two\": \"/src/two\"}\nNAMESPACES: dict[str, list[str]] = {'n': ['/other']}\n";
        let expected = [("one", "/src/lib/one"), ("two", "/src/two")];
        assert_eq!(
            mapping(finder),
            expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
        );
        assert!(mapping("MAPPING = {}").is_empty());
        assert!(is_finder("__editable___one_1_0_finder.py"));
        assert!(!is_finder("finder.py"));
    }

    #[test]
    fn requirements_are_read() {
        let metadata = "Metadata-Version: 2.1\nRequires-Dist: Foo_Bar (>=1)\nRequires-Dist: baz>=2; python_version < '4'\nRequires-Dist: opt ; extra == 'x'\n";
        assert_eq!(
            requirements(metadata).collect::<Vec<_>>(),
            ["foo-bar", "baz"]
        );
        assert_eq!(
            requirements("six>=1\nattrs\n\n[test]\npytest\n").collect::<Vec<_>>(),
            ["six", "attrs"]
        );
    }

    #[test]
    fn modules_are_recognised() {
        for (name, expected) in [
            ("six.py", Some("six")),
            ("_x.cpython-311-x86_64-linux-gnu.so", Some("_x")),
            ("numpy", Some("numpy")),
            ("numpy.libs", None),
            ("a.pth", None),
        ] {
            assert_eq!(importable(name), expected, "{name}");
        }
    }

    #[test]
    fn environments_say_whether_they_use_common_packages() {
        assert!(includes_common(
            "home = /usr/bin\ninclude-system-site-packages = true\n"
        ));
        assert!(!includes_common("include-system-site-packages = false\n"));
        assert!(!includes_common(""));
    }
}
