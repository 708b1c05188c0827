//! What the rules for languages take, shown with interpreters that are only called so.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pith_image::{BuildPlan, BuildRequest, FileMapping, SystemFiles, plan};

/// A directory with files in it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
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

    fn files(&self, files: &[(&str, &str)]) {
        for (name, contents) in files {
            self.file(name, contents);
        }
    }

    /// A program of this name. Nobody runs it.
    fn program(&self, name: &str) -> PathBuf {
        let path = self.file(name, "");
        fs::copy("/bin/true", &path).unwrap();
        path
    }

    /// What an image holds of a program that is started in `directory`.
    fn plan(&self, directory: &str, program: &Path, arguments: &[&str]) -> Taken<'_> {
        self.plan_with(directory, program, arguments, |request| request)
    }

    fn plan_with(
        &self,
        directory: &str,
        program: &Path,
        arguments: &[&str],
        change: impl FnOnce(BuildRequest) -> BuildRequest,
    ) -> Taken<'_> {
        let request = change(BuildRequest {
            arguments: arguments.iter().map(Into::into).collect(),
            base: self.at(directory),
            system_files: SystemFiles::Minimal,
            ..BuildRequest::new(program)
        });
        Taken {
            place: self,
            plan: plan(&request).unwrap(),
        }
    }
}

struct Taken<'a> {
    place: &'a Place,
    plan: BuildPlan,
}

impl Taken<'_> {
    #[track_caller]
    fn check(&self, inside: &[&str], outside: &[&str]) {
        let has = |name: &str| {
            let path = self.place.at(name);
            self.plan.paths().any(|other| other == path)
        };
        for name in inside {
            assert!(has(name), "{name} is missing; {:?}", self.plan.notes());
        }
        for name in outside {
            assert!(!has(name), "{name} was taken; {:?}", self.plan.notes());
        }
    }

    /// Checks that one of the notes holds a text.
    #[track_caller]
    fn says(&self, text: &str) {
        let notes = self.plan.notes();
        assert!(
            notes.iter().any(|note| note.message.contains(text)),
            "{notes:?}"
        );
    }

    #[track_caller]
    fn starts_in(&self, directory: &Path) {
        let configured = String::from_utf8(self.plan.configuration().working_directory.clone());
        assert_eq!(Path::new(&configured.unwrap()), directory);
    }
}

/// A Python with packages for everybody.
fn python(place: &Place) -> PathBuf {
    place.files(&[
        ("prefix/lib/python3.11/os.py", "import unneeded"),
        ("prefix/lib/python3.11/site-packages/alpha/__init__.py", "import beta\n"),
        (
            "prefix/lib/python3.11/site-packages/alpha-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nRequires-Dist: Delta_Dist>=1\nRequires-Dist: unneeded; extra == 'x'\n",
        ),
        (
            "prefix/lib/python3.11/site-packages/alpha-1.0.dist-info/RECORD",
            "alpha/__init__.py,,\nalpha.libs/x,,\n",
        ),
        ("prefix/lib/python3.11/site-packages/alpha.libs/x", ""),
        ("prefix/lib/python3.11/site-packages/beta.py", ""),
        ("prefix/lib/python3.11/site-packages/delta.py", ""),
        (
            "prefix/lib/python3.11/site-packages/delta_dist-2.0.dist-info/RECORD",
            "delta.py,,\n",
        ),
        ("prefix/lib/python3.11/site-packages/unneeded.py", ""),
        ("prefix/lib/python3.11/site-packages/editable.pth", "../../../../editable\n"),
        ("editable/epsilon.py", ""),
    ]);
    place.program("prefix/bin/python3.11")
}

const PACKAGES: &str = "prefix/lib/python3.11/site-packages";

#[test]
fn python_gets_the_application_and_the_packages_that_it_names() {
    let place = Place::new();
    let python = python(&place);
    place.files(&[
        (
            "app/app.py",
            "importlib.import_module('alpha')\nimport epsilon",
        ),
        ("app/templates/page.html", ""),
        ("app/.git/config", ""),
        ("app/target/CACHEDIR.TAG", ""),
        ("app/other/pyvenv.cfg", ""),
        ("data.csv", ""),
    ]);
    let taken = place.plan("app", &python, &["-u", "app.py", "--input=../data.csv"]);
    let package = |name: &str| format!("{PACKAGES}/{name}");
    taken.check(
        &[
            "prefix/lib/python3.11/os.py",
            "app/app.py",
            "app/templates/page.html",
            "data.csv",
            "editable/epsilon.py",
            &package("alpha/__init__.py"),
            &package("alpha-1.0.dist-info/METADATA"),
            &package("alpha.libs/x"),
            &package("beta.py"),
            &package("delta.py"),
        ],
        &[
            "app/.git/config",
            "app/target",
            "app/other",
            &package("unneeded.py"),
        ],
    );
    taken.starts_in(&place.at("app"));
    let notes: Vec<String> = taken.plan.notes().iter().map(ToString::to_string).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.contains("took the installed packages alpha, beta, delta, epsilon")),
        "{notes:?}"
    );
}

#[test]
fn what_was_taken_before_is_not_told_again() {
    let place = Place::new();
    let python = python(&place);
    let shell = place.program("bin/dash");
    place.files(&[("app/a.py", "import alpha"), ("app/b.py", "import alpha")]);
    let code = "python3.11 a.py; python3.11 b.py";
    let path = python.parent().unwrap().as_os_str().to_owned();
    let taken = place.plan_with("app", &shell, &["-c", code], |request| BuildRequest {
        environment: vec![("PATH".into(), path)],
        ..request
    });
    taken.check(
        &["app/a.py", "app/b.py", &format!("{PACKAGES}/beta.py")],
        &[],
    );
    let notes: Vec<String> = taken.plan.notes().iter().map(ToString::to_string).collect();
    assert!(
        !notes.iter().any(|note| note.contains(" 0 files")),
        "{notes:?}"
    );
}

#[test]
fn python_runs_modules_of_the_directory_where_they_are_typed() {
    let place = Place::new();
    let python = python(&place);
    place.files(&[("shop/main.py", "import beta"), ("shop/page.html", "")]);
    for arguments in [&["-m", "main"][..], &["-m", "alpha", "main:app"]] {
        let taken = place.plan("shop", &python, arguments);
        taken.check(
            &[
                "shop/main.py",
                "shop/page.html",
                &format!("{PACKAGES}/beta.py"),
            ],
            &[],
        );
        taken.starts_in(&place.at("shop"));
    }
    let taken = place.plan("shop", &python, &["-c", "print('beta')"]);
    taken.check(&[&format!("{PACKAGES}/beta.py")], &["shop/page.html"]);
    taken.starts_in(Path::new("/"));
}

#[test]
fn a_virtual_environment_is_taken_whole() {
    let place = Place::new();
    let python = python(&place);
    place.files(&[
        (
            "app/venv/pyvenv.cfg",
            "include-system-site-packages = false\n",
        ),
        ("app/venv/lib/python3.11/site-packages/own/__init__.py", ""),
        ("app/venv/lib/python3.11/site-packages/pip/__init__.py", ""),
        ("app/app.py", "import alpha"),
    ]);
    fs::create_dir_all(place.at("app/venv/bin")).unwrap();
    symlink(&python, place.at("app/venv/bin/python3")).unwrap();
    let taken = place.plan("app", &place.at("app/venv/bin/python3"), &["app.py"]);
    taken.check(
        &[
            "app/venv/pyvenv.cfg",
            "app/venv/lib/python3.11/site-packages/own/__init__.py",
            "app/app.py",
        ],
        &[
            "app/venv/lib/python3.11/site-packages/pip/__init__.py",
            &format!("{PACKAGES}/alpha/__init__.py"),
        ],
    );
}

#[test]
fn of_a_shared_directory_only_what_is_named_is_taken() {
    let place = Place::new();
    let python = python(&place);
    let temporary = |prefix: &str| {
        tempfile::Builder::new()
            .prefix(prefix)
            .suffix(".py")
            .tempfile_in("/tmp")
            .unwrap()
    };
    let (part, other) = (temporary("pith_part_"), temporary("pith_other_"));
    let mut script = temporary("pith_script_");
    let stem = part.path().file_stem().unwrap().to_str().unwrap();
    writeln!(script, "import {stem}").unwrap();
    let taken = place.plan("", &python, &[script.path().to_str().unwrap()]);
    let has = |path: &Path| taken.plan.paths().any(|other| other == path);
    assert!(
        has(script.path()) && has(part.path()),
        "{:?}",
        taken.plan.notes()
    );
    assert!(!has(other.path()));
}

#[test]
fn what_the_user_placed_is_the_users_business() {
    let place = Place::new();
    let python = python(&place);
    place.files(&[("app/app.py", "import beta"), ("app/other.py", "")]);
    let file = FileMapping {
        host: place.at("app/app.py"),
        guest: Some("/srv/app.py".into()),
    };
    let taken = place.plan_with("app", &python, &["app.py"], |request| BuildRequest {
        files: vec![file],
        working_directory: Some("/srv".into()),
        ..request
    });
    taken.check(
        &[&format!("{PACKAGES}/beta.py")],
        &["app/app.py", "app/other.py"],
    );
    taken.starts_in(Path::new("/srv"));

    // Beside it lies the whole library then, which is not the application's.
    let file = FileMapping {
        host: place.at("app/app.py"),
        guest: Some("/app.py".into()),
    };
    let taken = place.plan_with("app", &python, &["/app.py"], |request| BuildRequest {
        files: vec![file],
        ..request
    });
    taken.check(
        &[&format!("{PACKAGES}/beta.py")],
        &[&format!("{PACKAGES}/unneeded.py")],
    );
}

#[test]
fn scripts_that_the_user_placed_bring_their_interpreters() {
    let place = Place::new();
    let python = python(&place);
    let other = place.program("bin/other");
    let interpreter = format!("#!{}\nimport alpha\n", python.display());
    let executable = fs::Permissions::from_mode(0o755);
    let script = |name: &str, contents: &str| {
        let path = place.file(name, contents);
        fs::set_permissions(&path, executable.clone()).unwrap();
        path
    };
    script("hooks/hook", &interpreter);
    script("hooks/node_modules/x/unneeded", "#!/usr/bin/perl\n");
    script("lost/lost", "#!/nowhere/at/all\n");
    let plain = place.file("plain/plain", &interpreter);
    let with_files = |host: PathBuf| {
        move |request: BuildRequest| BuildRequest {
            files: vec![FileMapping { host, guest: None }],
            ..request
        }
    };
    let library = ["prefix/lib/python3.11/os.py", "prefix/bin/python3.11"];
    let taken = place.plan_with("", &other, &[], with_files(place.at("hooks")));
    taken.check(&library, &[]);
    taken.check(
        &[&format!("{PACKAGES}/alpha/__init__.py")],
        &[&format!("{PACKAGES}/unneeded.py")],
    );
    assert!(
        !taken
            .plan
            .paths()
            .any(|path| path == Path::new("/usr/bin/perl"))
    );
    // The system's own directories hold scripts for every occasion: these are for Bash and Perl.
    let taken = place.plan_with("", &other, &[], with_files("/usr/lib/dpkg/methods".into()));
    let is_interpreter = |path: &Path| path.ends_with("bash") || path.ends_with("perl");
    assert!(!taken.plan.paths().any(is_interpreter));
    // What can't be executed is data.
    place
        .plan_with("", &other, &[], with_files(plain))
        .check(&[], &library);
    place
        .plan_with("", &other, &[], with_files(place.at("lost")))
        .says("/nowhere/at/all");
    for number in 0..20 {
        script(&format!("hooks/hook{number}"), &interpreter);
    }
    let taken = place.plan_with("", &other, &[], with_files(place.at("hooks")));
    taken.check(&["hooks/hook19"], &library);
    taken.says("left out the interpreters of 21 scripts");
    place
        .plan_with("", &other, &[], with_files(place.at("hooks/hook")))
        .check(&library, &["hooks/hook1"]);
}

#[test]
fn scripts_bring_their_application() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let python = python(&place);
    let script = place.file("app/run", &format!("#!{}\nimport beta\n", python.display()));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    place.file("app/data.txt", "");
    let taken = place.plan("app", &script, &["data.txt"]);
    taken.check(
        &["app/run", "app/data.txt", &format!("{PACKAGES}/beta.py")],
        &[],
    );
    // As `python3 run` does, `./run` starts where it was typed; what is named by a whole path does not.
    place
        .plan("app", Path::new("./run"), &[])
        .starts_in(&place.at("app"));
    place.plan("app", &script, &[]).starts_in(Path::new("/"));
}

#[test]
fn node_gets_packages_for_running_but_not_those_for_development() {
    let place = Place::new();
    let node = place.program("bin/node");
    place.files(&[
        ("app/package.json", r#"{"dependencies": {"direct": "1"}, "devDependencies": {"tool": "1"}, "main": "source/app"}"#),
        ("app/source/app.js", "require('@scope/named/part'); require('./view')"),
        ("app/source/view.html", ""),
        ("app/node_modules/direct/package.json", r#"{"dependencies": {"nested": "1", "hoisted": "1"}}"#),
        ("app/node_modules/direct/node_modules/nested/index.js", ""),
        ("app/node_modules/direct/node_modules/unneeded/index.js", ""),
        ("app/node_modules/hoisted/index.js", ""),
        ("app/node_modules/tool/index.js", ""),
        ("app/node_modules/.store/named/index.js", ""),
    ]);
    fs::create_dir_all(place.at("app/node_modules/@scope")).unwrap();
    symlink("../.store/named", place.at("app/node_modules/@scope/named")).unwrap();
    for (directory, argument) in [
        ("app", "source/app"),
        ("app/source", "app.js"),
        ("app", "."),
    ] {
        let taken = place.plan(directory, &node, &["--max-old-space-size=64", argument]);
        taken.check(
            &[
                "app/source/app.js",
                "app/source/view.html",
                "app/node_modules/direct/package.json",
                "app/node_modules/direct/node_modules/nested/index.js",
                "app/node_modules/hoisted/index.js",
                "app/node_modules/@scope/named",
                "app/node_modules/.store/named/index.js",
            ],
            &[
                "app/node_modules/tool/index.js",
                "app/node_modules/direct/node_modules/unneeded/index.js",
            ],
        );
        taken.starts_in(&place.at(directory));
    }
}

#[test]
fn java_gets_its_runtime_and_the_jars_that_a_jar_names() {
    let place = Place::new();
    let java = place.program("jre/bin/java");
    place.files(&[
        ("jre/lib/modules", ""),
        ("jre/lib/src.zip", ""),
        ("jre/lib/server/classes_nocoops.jsa", ""),
        ("jre/conf/net.properties", ""),
        ("app/lib/second.jar", ""),
        ("app/lib/unneeded.jar", ""),
        ("app/agent.jar", ""),
        ("classes/App.class", ""),
        ("classes/other.txt", ""),
    ]);
    // Any library stands for the machine; it needs one, so that the search for that is part of this.
    fs::create_dir_all(place.at("jre/lib/server")).unwrap();
    fs::copy(
        "/lib/x86_64-linux-gnu/libm.so.6",
        place.at("jre/lib/server/libjvm.so"),
    )
    .unwrap();
    let mut jar = zip::ZipWriter::new(fs::File::create(place.at("app/app.jar")).unwrap());
    jar.start_file(
        "META-INF/MANIFEST.MF",
        zip::write::SimpleFileOptions::default(),
    )
    .unwrap();
    jar.write_all(b"Manifest-Version: 1.0\r\nClass-Path: lib/sec\r\n ond.jar\r\n")
        .unwrap();
    jar.finish().unwrap();
    let runtime = [
        "jre/lib/modules",
        "jre/lib/server/libjvm.so",
        "jre/conf/net.properties",
    ];
    let never = ["jre/lib/src.zip", "jre/lib/server/classes_nocoops.jsa"];

    let taken = place.plan(
        "",
        &java,
        &["-javaagent:app/agent.jar=x", "-jar", "app/app.jar"],
    );
    taken.check(&runtime, &never);
    taken.check(
        &["app/app.jar", "app/lib/second.jar", "app/agent.jar"],
        &["app/lib/unneeded.jar"],
    );
    taken.starts_in(&place.at(""));
    place
        .plan("", &java, &["-cp", "app/lib/*:classes", "App"])
        .check(
            &[
                "app/lib/second.jar",
                "app/lib/unneeded.jar",
                "classes/App.class",
            ],
            &["app/app.jar"],
        );
    place.plan("classes", &java, &["App"]).check(
        &["classes/App.class", "classes/other.txt"],
        &["app/app.jar"],
    );
    place
        .plan("classes", &java, &["-version"])
        .check(&runtime, &["classes/App.class"]);
}

#[test]
fn ruby_gets_the_gems_that_the_application_names() {
    let place = Place::new();
    let ruby = place.program("prefix/bin/ruby3.1");
    let gems = "prefix/lib/ruby/gems/3.1.0";
    let named = "s.add_runtime_dependency(%q<needed>.freeze, [\">= 0\"])\n";
    for (gem, specification) in [
        ("named-part-1.0", named),
        ("needed-2.0", ""),
        ("unneeded-1.0", ""),
    ] {
        place.file(
            &format!("{gems}/specifications/{gem}.gemspec"),
            specification,
        );
        place.file(&format!("{gems}/gems/{gem}/lib/x.rb"), "");
    }
    place.files(&[
        ("prefix/lib/ruby/3.1.0/set.rb", ""),
        ("app/app.rb", "require 'named/part'"),
        ("app/views/page.erb", ""),
    ]);
    place.plan("app", &ruby, &["app.rb"]).check(
        &[
            "prefix/lib/ruby/3.1.0/set.rb",
            "app/views/page.erb",
            &format!("{gems}/gems/named-part-1.0/lib/x.rb"),
            &format!("{gems}/gems/needed-2.0/lib/x.rb"),
            &format!("{gems}/specifications/needed-2.0.gemspec"),
        ],
        &[&format!("{gems}/gems/unneeded-1.0/lib/x.rb")],
    );
    // A package of Debian requires one of these gems; its command works on the project where it is typed.
    let described = place.file("debian.gemspec", "s.add_dependency 'needed', '~> 2'\n");
    place.files(&[("site/_config.yml", ""), ("site/page.md", "")]);
    let command = place.file("command", "load 'part'");
    let placed = [
        (
            described,
            "share/rubygems-integration/all/specifications/packaged-1.gemspec",
        ),
        (command, "bin/packaged"),
    ];
    let with_package = |request: BuildRequest| BuildRequest {
        files: placed
            .clone()
            .map(|(host, guest)| FileMapping {
                host,
                guest: Some(Path::new("/usr").join(guest)),
            })
            .into(),
        ..request
    };
    place
        .plan_with("site", &ruby, &["/usr/bin/packaged"], with_package)
        .check(
            &["site/page.md", &format!("{gems}/gems/needed-2.0/lib/x.rb")],
            &[&format!("{gems}/gems/unneeded-1.0/lib/x.rb")],
        );
    // So it does if a shell is told to start it.
    let shell = place.program("bin/dash");
    let command = place.at("command");
    fs::write(&command, format!("#!{}\nload 'part'\n", ruby.display())).unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    let taken = place.plan_with("site", &shell, &["-c", "packaged build"], |request| {
        BuildRequest {
            environment: vec![("PATH".into(), "/usr/bin".into())],
            ..with_package(request)
        }
    });
    taken.check(&["site/page.md"], &[]);
    taken.starts_in(&place.at("site"));
}

#[test]
fn ruby_gets_what_debian_packaged_only_if_it_is_needed() {
    let place = Place::new();
    let ruby = place.program("prefix/bin/ruby3.1");
    let vendor = "prefix/lib/ruby/vendor_ruby";
    let home = place.at("home");
    place.files(&[
        ("prefix/lib/ruby/3.1.0/set.rb", ""),
        ("prefix/lib/ruby/vendor_ruby/rubygems.rb", ""),
        (
            "prefix/lib/ruby/vendor_ruby/rubygems/x.rb",
            "require 'unneeded'",
        ),
        ("prefix/lib/ruby/vendor_ruby/3.1.0/x.rb", ""),
        (
            "prefix/lib/ruby/vendor_ruby/listed.rb",
            "require 'further/x'",
        ),
        ("prefix/lib/ruby/vendor_ruby/listed/x.rb", ""),
        ("prefix/lib/ruby/vendor_ruby/further/x.rb", ""),
        ("prefix/lib/ruby/vendor_ruby/described.rb", ""),
        ("prefix/lib/ruby/vendor_ruby/unneeded.rb", ""),
        (
            "home/specifications/activething-1.0.gemspec",
            "s.require_paths = [\"src\".freeze]\ns.add_dependency 'described'\n",
        ),
        ("home/gems/activething-1.0/src/active_thing.rb", ""),
        ("home/gems/activething-1.0/src/active_thing/cache/x.rb", ""),
        ("home/gems/activething-1.0/doc/x.rb", ""),
        (
            "home/specifications/described-1.0.gemspec",
            "s.files = [\"README\".freeze, \"lib/listed.rb\".freeze]\n",
        ),
        ("home/specifications/unneeded-1.0.gemspec", ""),
        ("home/gems/unneeded-1.0/lib/unneeded.rb", ""),
        ("app/app.rb", "require 'active_thing/x'"),
    ]);
    let with_home = |request: BuildRequest| BuildRequest {
        environment: vec![("GEM_HOME".into(), home.clone().into())],
        ..request
    };
    let taken = place.plan_with("app", &ruby, &["app.rb"], with_home);
    taken.check(
        &[
            "prefix/lib/ruby/3.1.0/set.rb",
            &format!("{vendor}/rubygems.rb"),
            &format!("{vendor}/rubygems/x.rb"),
            &format!("{vendor}/3.1.0/x.rb"),
            &format!("{vendor}/listed/x.rb"),
            &format!("{vendor}/further/x.rb"),
            &format!("{vendor}/described.rb"),
            "home/gems/activething-1.0/src/active_thing/cache/x.rb",
            "home/specifications/described-1.0.gemspec",
        ],
        &[
            &format!("{vendor}/unneeded.rb"),
            "home/gems/activething-1.0/doc/x.rb",
            "home/specifications/unneeded-1.0.gemspec",
            "home/gems/unneeded-1.0/lib/unneeded.rb",
        ],
    );
    taken.says("of the installed gems in ");
    taken.says(home.to_str().unwrap());
}

#[test]
fn ruby_finds_the_directories_of_an_option_from_where_it_was_typed() {
    let place = Place::new();
    let ruby = place.program("prefix/bin/ruby3.1");
    place.files(&[("app/one/own.rb", ""), ("app/two/other.rb", "")]);
    let taken = place.plan("app", &ruby, &["-Ione:two", "-e", "require 'own'"]);
    taken.check(&["app/one/own.rb", "app/two/other.rb"], &[]);
    taken.starts_in(&place.at("app"));
}

#[test]
fn php_gets_its_extensions_and_what_lies_beside_the_document_root() {
    let place = Place::new();
    let php = place.program("prefix/bin/php");
    place.files(&[
        ("prefix/etc/php/conf.d/curl.ini", "extension=curl"),
        ("prefix/lib/php/extensions/20220829/curl.so", ""),
        ("prefix/lib/php/extensions/20220829/other.so", ""),
        ("app/public/index.php", ""),
        ("app/source/part.php", ""),
        ("elsewhere/index.php", ""),
    ]);
    let taken = place.plan("app", &php, &["-S", "0.0.0.0:80", "-t", "public"]);
    taken.check(
        &[
            "prefix/etc/php/conf.d/curl.ini",
            "prefix/lib/php/extensions/20220829/curl.so",
            "app/public/index.php",
            "app/source/part.php",
        ],
        &["prefix/lib/php/extensions/20220829/other.so"],
    );
    taken.starts_in(&place.at("app"));
    place
        .plan("app", &php, &["-S", "0.0.0.0:80", "-t", "../elsewhere"])
        .check(&["elsewhere/index.php"], &["app/source/part.php"]);
}

#[test]
fn perl_gets_its_library_and_the_modules_that_are_named() {
    let place = Place::new();
    let perl = place.program("prefix/bin/perl");
    place.files(&[
        ("prefix/share/perl/5.36.0/strict.pm", ""),
        ("prefix/share/perl/5.36.0/pod/perl.pod", ""),
        ("prefix/share/perl/5.36.0/Own.pm", ""),
        ("prefix/share/perl/5.36.0/Other.pm", ""),
        (
            "prefix/share/perl5/Named/Part.pm",
            "use Needed; require $x;",
        ),
        ("prefix/share/perl5/Needed.pm", "use Own;"),
        ("prefix/share/perl5/Needed/Part.pm", ""),
        ("prefix/share/perl5/Unneeded.pm", ""),
        ("prefix/share/perl5/ByLink.pm", ""),
        ("elsewhere/Linked.pm", "use ByLink;"),
        ("app/app.pl", "use Named::Part;"),
        ("app/lib/Own.pm", ""),
    ]);
    // What a link in a module's directory leads to has words too.
    symlink(
        "../../../../elsewhere/Linked.pm",
        place.at("prefix/share/perl5/Named/Linked.pm"),
    )
    .unwrap();
    place.plan("app", &perl, &["-w", "app.pl"]).check(
        &[
            "prefix/share/perl/5.36.0/strict.pm",
            "prefix/share/perl/5.36.0/Own.pm",
            "prefix/share/perl5/Named/Part.pm",
            "prefix/share/perl5/Needed.pm",
            "prefix/share/perl5/ByLink.pm",
            "elsewhere/Linked.pm",
            "app/lib/Own.pm",
        ],
        &[
            "prefix/share/perl/5.36.0/pod/perl.pod",
            "prefix/share/perl/5.36.0/Other.pm",
            "prefix/share/perl5/Needed/Part.pm",
            "prefix/share/perl5/Unneeded.pm",
        ],
    );
    place
        .plan("app", &perl, &["-MNeeded::Part", "-e", "1"])
        .check(
            &["prefix/share/perl5/Needed/Part.pm"],
            &["prefix/share/perl5/Named/Part.pm"],
        );
    // Parts that a module of another name loads.
    place.files(&[
        ("prefix/share/perl5/Loader/It.pm", "require $x;"),
        (
            "prefix/share/perl5/Framework.pm",
            "  use Loader::It qw(it);",
        ),
        ("prefix/share/perl5/Framework/Plugin/Part.pm", ""),
        ("framework/app.pl", "use Framework;"),
    ]);
    place.plan("framework", &perl, &["app.pl"]).check(
        &["prefix/share/perl5/Framework/Plugin/Part.pm"],
        &["prefix/share/perl5/Unneeded.pm"],
    );
    // Who knows what it loads?
    place.file("other/other.pl", "eval \"require $ARGV[0]\"; # Unneeded");
    place.plan("other", &perl, &["other.pl"]).check(
        &[
            "prefix/share/perl/5.36.0/Other.pm",
            "prefix/share/perl5/Unneeded.pm",
        ],
        &["prefix/share/perl5/Needed.pm"],
    );
}

#[test]
fn lua_gets_its_application() {
    let place = Place::new();
    let lua = place.program("bin/lua5.4");
    place.files(&[("app/app.lua", "require 'part'"), ("app/part.lua", "")]);
    place
        .plan("", &lua, &["app/app.lua"])
        .check(&["app/app.lua", "app/part.lua"], &[]);
}

#[test]
fn erlang_gets_its_emulator_and_the_applications_that_are_named() {
    let place = Place::new();
    let escript = place.program("erlang/bin/escript");
    place.program("erlang/bin/erl");
    place.program("erlang/erts-13.1/bin/beam.smp");
    place.program("erlang/erts-13.1/bin/erl_child_setup");
    let of = |needs: &str| format!("{{application,x,[{{applications,[{needs}]}}]}}.");
    place.files(&[
        ("erlang/bin/start.boot", ""),
        ("erlang/releases/25/OTP_VERSION", ""),
        ("erlang/lib/kernel-8.5/ebin/kernel.app", &of("")),
        ("erlang/lib/kernel-8.5/src/kernel.erl", ""),
        ("erlang/lib/stdlib-4.2/ebin/lists.beam", ""),
        ("erlang/lib/compiler-8.2/ebin/compile.beam", ""),
        ("erlang/lib/inets-8.2/ebin/inets.app", &of("kernel,mnesia")),
        ("erlang/lib/inets-8.2/ebin/httpc.beam", ""),
        ("erlang/lib/mnesia-4.2/ebin/mnesia.app", &of("")),
        ("erlang/lib/ssl-10.8/ebin/ssl.app", &of("")),
        ("app/app.escript", "main(_) -> httpc:request(\"\")."),
    ]);
    place.plan("app", &escript, &["app.escript"]).check(
        &[
            "app/app.escript",
            "erlang/bin/erl",
            "erlang/bin/start.boot",
            "erlang/erts-13.1/bin/beam.smp",
            "erlang/erts-13.1/bin/erl_child_setup",
            "erlang/releases/25/OTP_VERSION",
            "erlang/lib/kernel-8.5/ebin/kernel.app",
            "erlang/lib/stdlib-4.2/ebin/lists.beam",
            "erlang/lib/compiler-8.2/ebin/compile.beam",
            "erlang/lib/inets-8.2/ebin/httpc.beam",
            "erlang/lib/mnesia-4.2/ebin/mnesia.app",
        ],
        &[
            "erlang/lib/kernel-8.5/src/kernel.erl",
            "erlang/lib/ssl-10.8/ebin/ssl.app",
        ],
    );
}

#[test]
fn shells_get_the_commands_of_a_script_and_what_these_need() {
    let place = Place::new();
    let shell = place.program("bin/dash");
    let tool = place.program("bin/tool");
    let perl = place.program("prefix/bin/perl");
    place.program("bin/unneeded");
    place.files(&[
        ("prefix/share/perl/5.36.0/strict.pm", ""),
        ("bin/launcher", "#!/bin/sh\nexec perl -e 1 # unneeded\n"),
        ("app/data.txt", ""),
        (
            "app/app.sh",
            "set -e\necho \"unneeded $(tool \"$1\")\"\nlauncher | cat <<X\nunneeded\nX\n",
        ),
    ]);
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.at("bin/launcher"), executable).unwrap();
    let path = format!(
        "{}:{}:/usr/bin:/bin",
        tool.parent().unwrap().display(),
        perl.parent().unwrap().display()
    );
    let with_path = |request: BuildRequest| BuildRequest {
        environment: vec![("PATH".into(), path.clone().into())],
        ..request
    };
    let taken = place.plan_with("app", &shell, &["app.sh"], with_path);
    taken.check(
        &[
            "app/data.txt",
            "bin/tool",
            "bin/launcher",
            "prefix/bin/perl",
            "prefix/share/perl/5.36.0/strict.pm",
        ],
        &["bin/unneeded"],
    );
    taken.starts_in(&place.at("app"));
    // Scripts beside it are for other occasions, unless it names them.
    let script = place.file(
        "app/run.sh",
        ". ./part.sh\nfor f in hooks/*; do . $f; done\n",
    );
    place.files(&[
        ("app/part.sh", "tool\n"),
        ("app/hooks/first.sh", "launcher\n"),
        ("app/other.sh", "unneeded\n"),
    ]);
    place
        .plan_with("app", &shell, &[script.to_str().unwrap()], with_path)
        .check(
            &["app/other.sh", "bin/tool", "bin/launcher"],
            &["bin/unneeded"],
        );
    place
        .plan_with("", &shell, &["-ec", "tool x | launcher", "name"], with_path)
        .check(
            &["bin/tool", "bin/launcher"],
            &["app/app.sh", "bin/unneeded"],
        );
}

#[test]
fn words_of_other_languages_are_no_commands() {
    let place = Place::new();
    let shell = place.program("bin/dash");
    let tool = place.program("bin/tool");
    // A script of the system, which every Debian has.
    let launcher = "/usr/lib/dpkg/methods/apt/update";
    place.files(&[
        ("app/app.clj", "(tool inc [1 2])\n"),
        ("app/data", ""),
        ("shell/app.sh", "tool\n"),
    ]);
    let with_path = |request: BuildRequest| BuildRequest {
        environment: vec![("PATH".into(), tool.parent().unwrap().into())],
        ..request
    };
    place
        .plan_with("app", &shell, &[launcher, "app.clj"], with_path)
        .check(&["app/app.clj", "app/data"], &["bin/tool"]);
    place
        .plan_with("shell", &shell, &[launcher, "app.sh"], with_path)
        .check(&["shell/app.sh", "bin/tool"], &[]);
}

#[test]
fn scripts_of_the_system_bring_the_directory_of_their_program() {
    let place = Place::new();
    let shell = place.program("bin/dash");
    let script = "/usr/lib/dpkg/methods/apt/update";
    let taken = place.plan("", &shell, &[script]);
    let has = |name: &str| taken.plan.paths().any(|path| path == Path::new(name));
    assert!(has("/usr/lib/dpkg/methods/apt/desc.apt"));
    // Variables that were set to a text are followed.
    let code = "bin=/usr/bin; tool=\"$bin/find\"; exec $tool";
    let taken = place.plan("", &shell, &["-c", code]);
    assert!(
        taken
            .plan
            .paths()
            .any(|path| path == Path::new("/usr/bin/find"))
    );
}

#[test]
fn programs_in_directories_bring_their_libraries() {
    let place = Place::new();
    let node = place.program("bin/node");
    place.files(&[("app/app.js", "")]);
    fs::copy("/usr/bin/perl", place.file("app/tools/perl", "")).unwrap();
    let taken = place.plan("app", &node, &["app.js"]);
    let names: Vec<_> = taken.plan.files().map(|(path, _)| path).collect();
    assert!(
        names
            .iter()
            .any(|path| path.to_string_lossy().contains("/libcrypt.so.1"))
    );
}

#[test]
fn commands_that_start_others_bring_them() {
    let place = Place::new();
    let env = place.program("bin/env");
    place.program("bin/timeout");
    let python = python(&place);
    place.files(&[
        ("app/app.py", "import part"),
        ("app/part.py", ""),
        ("modules/module.py", ""),
    ]);
    let path = format!(
        "{}:{}",
        python.parent().unwrap().display(),
        place.at("bin").display()
    );
    let python = python.file_name().unwrap().to_str().unwrap();
    let with_path = |request: BuildRequest| BuildRequest {
        environment: vec![("PATH".into(), path.clone().into())],
        ..request
    };
    let taken = place.plan_with(
        "app",
        &env,
        &[
            "-u",
            "X",
            "PYTHONPATH=../modules",
            "timeout",
            "10",
            python,
            "app.py",
        ],
        with_path,
    );
    taken.check(
        &[
            "bin/timeout",
            "app/app.py",
            "app/part.py",
            "modules/module.py",
        ],
        &[],
    );
    taken.starts_in(&place.at("app"));
    // Code for a shell is looked at in the same way.
    let shell = place.program("bin/sh");
    place
        .plan_with(
            "app",
            &shell,
            &["-c", &format!("cd . && {python} app.py")],
            with_path,
        )
        .check(&["app/part.py"], &["modules/module.py"]);
}

#[test]
fn npm_brings_what_the_script_starts() {
    let place = Place::new();
    let node = place.program("bin/node");
    place.program("bin/tool");
    place.program("bin/unneeded");
    place.program("app/node_modules/.bin/own");
    place.files(&[
        ("lib/node_modules/npm/package.json", "{}"),
        ("lib/node_modules/npm/bin/npm-cli.js", ""),
        (
            "app/package.json",
            r#"{"scripts": {"preserve": "own --fast", "serve": "tool part.js", "other": "unneeded"}}"#,
        ),
        ("app/part.js", ""),
    ]);
    let npm = place.at("lib/node_modules/npm/bin/npm-cli.js");
    let taken = place.plan_with(
        "app",
        &node,
        &[npm.to_str().unwrap(), "run", "serve"],
        |request| BuildRequest {
            environment: vec![("PATH".into(), place.at("bin").into())],
            ..request
        },
    );
    taken.check(
        &[
            "bin/tool",
            "app/part.js",
            "app/node_modules/.bin/own",
            "lib/node_modules/npm/package.json",
        ],
        &["bin/unneeded"],
    );
    taken.starts_in(&place.at("app"));
}

#[test]
fn the_gnu_compilers_bring_what_a_source_needs() {
    let place = Place::new();
    let gcc = place.program("bin/x86_64-linux-gnu-g++-12");
    place.files(&[
        ("lib/gcc/x86_64-linux-gnu/12/cc1plus", ""),
        ("lib/gcc/x86_64-linux-gnu/12/cc1", ""),
        ("lib/gcc/x86_64-linux-gnu/12/f951", ""),
        ("lib/gcc/x86_64-linux-gnu/12/libgcc.a", ""),
        ("lib/gcc/x86_64-linux-gnu/12/libtsan.a", ""),
        ("lib/gcc/x86_64-linux-gnu/12/include/stddef.h", ""),
        ("headers/named.h", "#include \"next.h\""),
        ("headers/next.h", ""),
        ("headers/other.h", ""),
        (
            "app/app.cpp",
            "#include <named.h>\n#include \"own.h\"\nint main() {}",
        ),
        ("app/own.h", "#include <errno.h>"),
    ]);
    let headers = format!("-I{}", place.at("headers").display());
    let taken = place.plan("app", &gcc, &[&headers, "app.cpp"]);
    taken.check(
        &[
            "lib/gcc/x86_64-linux-gnu/12/cc1plus",
            "lib/gcc/x86_64-linux-gnu/12/libgcc.a",
            "lib/gcc/x86_64-linux-gnu/12/include/stddef.h",
            "headers/named.h",
            "headers/next.h",
            "app/own.h",
        ],
        &[
            "lib/gcc/x86_64-linux-gnu/12/cc1",
            "lib/gcc/x86_64-linux-gnu/12/f951",
            "lib/gcc/x86_64-linux-gnu/12/libtsan.a",
            "headers/other.h",
        ],
    );
    let has = |name: &str| taken.plan.paths().any(|path| path == Path::new(name));
    assert!(has("/usr/include/errno.h") && !has("/usr/include/math.h"));
}

#[test]
fn pypy_gets_its_own_library() {
    let place = Place::new();
    let pypy = place.program("prefix/bin/pypy3.9");
    place.files(&[
        ("prefix/lib/pypy3.9/os.py", ""),
        ("prefix/lib/pypy3.9/__pycache__/os.pypy39.pyc", ""),
        ("prefix/lib/pypy3.9/__pycache__/os.cpython-39.pyc", ""),
        ("app/app.py", ""),
    ]);
    place.plan("app", &pypy, &["app.py"]).check(
        &[
            "app/app.py",
            "prefix/lib/pypy3.9/os.py",
            "prefix/lib/pypy3.9/__pycache__/os.pypy39.pyc",
        ],
        &["prefix/lib/pypy3.9/__pycache__/os.cpython-39.pyc"],
    );
}

#[test]
fn elixir_gets_its_library_the_emulator_and_the_applications_that_are_named() {
    let place = Place::new();
    let elixir = place.file("elixir/bin/elixir", "#!/bin/sh\nexec erl\n");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&elixir, executable).unwrap();
    place.program("erlang/bin/erl");
    place.program("erlang/erts-13.1/bin/beam.smp");
    place.files(&[
        ("elixir/lib/elixir/ebin/elixir.app", ""),
        ("erlang/lib/kernel-8.5/ebin/kernel.app", ""),
        ("erlang/lib/crypto-5.1/ebin/crypto.app", ""),
        ("erlang/lib/ssh-4.15/ebin/ssh.app", ""),
        ("app/mix.exs", ""),
        ("app/lib/app.exs", ":crypto.hash(:sha256, \"x\")"),
    ]);
    let path = format!("{}:/usr/bin:/bin", place.at("erlang/bin").display());
    place
        .plan_with("app", &elixir, &["lib/app.exs"], |request| BuildRequest {
            environment: vec![("PATH".into(), path.into())],
            ..request
        })
        .check(
            &[
                "app/mix.exs",
                "elixir/lib/elixir/ebin/elixir.app",
                "erlang/erts-13.1/bin/beam.smp",
                "erlang/lib/kernel-8.5/ebin/kernel.app",
                "erlang/lib/crypto-5.1/ebin/crypto.app",
            ],
            &["erlang/lib/ssh-4.15/ebin/ssh.app"],
        );
}

/// A table of the rules by the names of interpreters: who gives another a name has to say so here.
#[test]
fn interpreters_are_known_by_their_names() {
    let place = Place::new();
    // What a rule takes always is told in a note with its name.
    for (program, library, expected) in [
        ("bin/python3.12", "lib/python3.12/os.py", "python"),
        ("bin/python3.13t", "lib/python3.13/os.py", "python"),
        ("bin/pypy3.10", "lib/pypy3.10/os.py", "python"),
        ("bin/python3-config", "lib/python3.12/os.py", ""),
        ("bin/ruby3.3", "lib/ruby/3.3.0/set.rb", "ruby"),
        ("bin/ruby", "lib/ruby/3.3.0/set.rb", "ruby"),
        ("bin/perl5.40.0", "lib/perl5/strict.pm", "perl"),
        ("bin/php8.4", "lib/php.ini", "php"),
        ("bin/php-config", "lib/php.ini", ""),
        (
            "erlang/bin/erl",
            "erlang/lib/kernel-8.5/ebin/x.app",
            "erlang",
        ),
        (
            "erlang/bin/escript",
            "erlang/lib/kernel-8.5/ebin/x.app",
            "erlang",
        ),
        ("bin/cat", "lib/perl5/strict.pm", ""),
    ] {
        let program = place.program(program);
        place.file(library, "");
        let taken = place.plan("", &program, &[]);
        let subjects: Vec<&str> = taken
            .plan
            .notes()
            .iter()
            .map(|note| note.subject.as_str())
            .collect();
        assert_eq!(
            subjects.contains(&expected),
            !expected.is_empty(),
            "{program:?}: {subjects:?}"
        );
        if expected.is_empty() {
            assert!(subjects.is_empty(), "{program:?}: {subjects:?}");
        }
    }
}

/// The application comes with every interpreter, under each of its names.
#[test]
fn every_interpreter_gets_its_application() {
    let place = Place::new();
    place.files(&[
        ("erlang/lib/kernel-8.5/ebin/kernel.app", ""),
        ("lib/python3/os.py", ""),
        ("lib/pypy3/os.py", ""),
    ]);
    for (program, arguments, source) in [
        ("bin/python3", &["app.py"][..], "app.py"),
        ("bin/pypy3", &["app.py"], "app.py"),
        ("bin/node", &["app.js"], "app.js"),
        ("bin/nodejs", &["."], "index.js"),
        ("bin/java", &["App.java"], "App.java"),
        ("bin/ruby3.1", &["-w", "app.rb"], "app.rb"),
        ("bin/php8.2", &["app.php"], "app.php"),
        ("bin/php.default", &["-d", "a=b", "app.php"], "app.php"),
        ("bin/perl", &["-T", "app.pl"], "app.pl"),
        ("bin/lua", &["app.lua"], "app.lua"),
        ("bin/luajit-2.1.0-beta3", &["app.lua"], "app.lua"),
        ("erlang/bin/escript", &["app.escript"], "app.escript"),
        ("bin/sh", &["app.sh"], "app.sh"),
        ("bin/dash", &["-e", "app.sh"], "app.sh"),
        ("bin/bash", &["-eu", "app.sh"], "app.sh"),
        ("bin/zsh", &["app.sh"], "app.sh"),
        ("bin/mksh", &["app.sh"], "app.sh"),
        ("bin/ksh93", &["app.sh"], "app.sh"),
        ("bin/tclsh8.6", &["app.tcl"], "app.tcl"),
        ("bin/expect", &["-f", "app.exp"], "app.exp"),
        ("bin/guile-3.0", &["-s", "app.scm"], "app.scm"),
        ("bin/sbcl", &["--script", "app.lisp"], "app.lisp"),
        ("bin/racket", &["app.rkt"], "app.rkt"),
        ("bin/csi", &["-s", "app.scm"], "app.scm"),
        ("bin/Rscript", &["app.R"], "app.R"),
        ("bin/octave-cli-7.3.0", &["app.m"], "app.m"),
        ("bin/swipl", &["-g", "main", "app.pl"], "app.pl"),
        ("bin/gforth-fast", &["app.fs"], "app.fs"),
        ("bin/mono-sgen", &["app.exe"], "app.exe"),
    ] {
        let directory = format!("of-{}", program.replace('/', "-"));
        let source = format!("{directory}/{source}");
        let data = format!("{directory}/data/part.txt");
        place.files(&[(&source, ""), (&data, "")]);
        let program = place.program(program);
        let taken = place.plan(&directory, &program, arguments);
        taken.check(&[&source, &data], &[]);
        taken.starts_in(&place.at(&directory));
    }
}

#[test]
fn python_finds_packages_that_are_installed_as_they_are_developed() {
    let place = Place::new();
    let python = python(&place);
    let mapping = format!(
        "MAPPING: dict[str, str] = {{'found': '{}'}}\n",
        place.at("developed/found").display()
    );
    let packages = "project/venv/lib/python3.11/site-packages";
    place.files(&[
        ("project/venv/pyvenv.cfg", ""),
        (
            &format!("{packages}/__editable__.own-1.pth"),
            "../../../../../source\n",
        ),
        (
            &format!("{packages}/__editable___found_1_finder.py"),
            &mapping,
        ),
        ("source/own/__init__.py", ""),
        ("source/own/data.txt", ""),
        ("developed/found/__init__.py", ""),
        ("developed/other/__init__.py", ""),
        ("elsewhere/x", ""),
    ]);
    fs::create_dir_all(place.at("project/venv/bin")).unwrap();
    symlink(&python, place.at("project/venv/bin/python3")).unwrap();
    let in_environment = place.at("project/venv/bin/python3");
    place
        .plan("elsewhere", &in_environment, &["-m", "own"])
        .check(
            &[
                "source/own/__init__.py",
                "source/own/data.txt",
                "developed/found/__init__.py",
            ],
            &["developed/other/__init__.py", "elsewhere/x"],
        );

    // Of packages for everybody it takes being named, and then what has Python find them.
    let file = |name: &str| format!("{PACKAGES}/{name}");
    place.files(&[
        (&file("__editable___found_1_finder.py"), &mapping),
        (
            &file("__editable__.found-1.pth"),
            "import __editable___found_1_finder",
        ),
        (
            &file("found-1.dist-info/RECORD"),
            "__editable__.found-1.pth,,\n__editable___found_1_finder.py,,\n",
        ),
    ]);
    for (code, inside, outside) in [
        (
            "import found",
            "developed/found/__init__.py",
            "editable/epsilon.py",
        ),
        (
            "import found",
            &file("__editable___found_1_finder.py"),
            "elsewhere/x",
        ),
        (
            "import found",
            &file("__editable__.found-1.pth"),
            &file("editable.pth"),
        ),
        (
            "import epsilon",
            "editable/epsilon.py",
            "developed/found/__init__.py",
        ),
        (
            "import epsilon",
            &file("editable.pth"),
            &file("__editable__.found-1.pth"),
        ),
    ] {
        place
            .plan("elsewhere", &python, &["-c", code])
            .check(&[inside], &[outside]);
    }
}

#[test]
fn python_runs_modules_of_packages_without_a_file_of_their_own() {
    let place = Place::new();
    let python = python(&place);
    place.files(&[("shop/parts/main.py", ""), ("shop/page.html", "")]);
    for arguments in [
        &["-m", "parts.main"][..],
        &["-m", "alpha", "parts.main:app"],
    ] {
        let taken = place.plan("shop", &python, arguments);
        taken.check(&["shop/page.html", "shop/parts/main.py"], &[]);
        taken.starts_in(&place.at("shop"));
    }
    // Relative directories of a variable count from where the program starts.
    let taken = place.plan_with("shop", &python, &["-m", "main"], |request| BuildRequest {
        environment: vec![("PYTHONPATH".into(), "parts".into())],
        ..request
    });
    taken.check(&["shop/parts/main.py"], &["shop/page.html"]);
    taken.starts_in(&place.at("shop"));
}

#[test]
fn programs_in_bin_bring_their_parts() {
    let place = Place::new();
    let perl = place.program("prefix/bin/perl");
    place.files(&[
        (
            "tool/bin/tool",
            "use FindBin; use lib \"$FindBin::Bin/../lib\"; use Part;",
        ),
        ("tool/lib/Part.pm", ""),
        ("alone/bin/tool", ""),
        ("alone/other.txt", ""),
    ]);
    place
        .plan("tool/bin", &perl, &["tool"])
        .check(&["tool/lib/Part.pm"], &[]);
    place
        .plan("alone/bin", &perl, &["tool"])
        .check(&["alone/bin/tool"], &["alone/other.txt"]);
    let taken = place.plan("tool", &perl, &["-Mlib=lib", "-MPart", "-e", "1"]);
    taken.check(&["tool/lib/Part.pm"], &["tool/bin/tool"]);
    taken.starts_in(&place.at("tool"));
}

#[test]
fn java_reads_files_of_arguments() {
    let place = Place::new();
    let java = place.program("jdk/bin/java");
    place.files(&[
        ("app/arguments", "# where\n-cp \"classes\"\n  Main\n"),
        ("app/classes/Main.class", ""),
        ("app/other/Other.class", ""),
    ]);
    let taken = place.plan("app", &java, &["@arguments"]);
    taken.check(
        &["app/arguments", "app/classes/Main.class"],
        &["app/other/Other.class"],
    );
    taken.starts_in(&place.at("app"));
}

#[test]
fn lua_gets_modules_that_options_and_variables_name() {
    let place = Place::new();
    let lua = place.program("bin/lua5.4");
    place.files(&[
        ("app/part.lua", ""),
        ("app/data.txt", ""),
        ("tree/share/lua/5.4/dependency/init.lua", ""),
        ("empty/x", ""),
    ]);
    place
        .plan("app", &lua, &["-l", "part", "-e", "return"])
        .check(&["app/part.lua", "app/data.txt"], &[]);
    let taken = place.plan_with("empty", &lua, &["-e", "require 'dependency'"], |request| {
        BuildRequest {
            environment: vec![(
                "LUA_PATH".into(),
                "../tree/share/lua/5.4/?/init.lua;;".into(),
            )],
            ..request
        }
    });
    taken.check(&["tree/share/lua/5.4/dependency/init.lua"], &["empty/x"]);
    taken.starts_in(&place.at("empty"));
}

#[test]
fn node_gets_the_packages_of_a_command_for_everybody_and_links_of_a_store() {
    let place = Place::new();
    let node = place.program("bin/node");
    let modules = "app/node_modules";
    let store = "app/node_modules/.pnpm";
    place.files(&[
        ("app/package.json", "{\"dependencies\": {\"one\": \"1\"}}"),
        ("app/index.js", "import('@scope/tool/part')"),
        (
            &format!("{store}/one@1/node_modules/one/package.json"),
            "{\"dependencies\": {\"two\": \"1\"}}",
        ),
        (&format!("{store}/two@1/node_modules/two/index.js"), ""),
        (&format!("{store}/three@1/node_modules/three/index.js"), ""),
        (&format!("{modules}/@scope/tool/native.node"), ""),
        (&format!("{modules}/@scope/other/index.js"), ""),
    ]);
    symlink(
        ".pnpm/one@1/node_modules/one",
        place.at("app/node_modules/one"),
    )
    .unwrap();
    symlink(
        "../../two@1/node_modules/two",
        place.at("app/node_modules/.pnpm/one@1/node_modules/two"),
    )
    .unwrap();
    place.plan("app", &node, &["."]).check(
        &[
            "app/node_modules/one",
            &format!("{store}/one@1/node_modules/one/package.json"),
            &format!("{store}/one@1/node_modules/two"),
            &format!("{store}/two@1/node_modules/two/index.js"),
            &format!("{modules}/@scope/tool/native.node"),
        ],
        &[
            &format!("{store}/three@1/node_modules/three/index.js"),
            &format!("{modules}/@scope/other/index.js"),
        ],
    );
}

#[test]
fn links_that_lead_round_or_out_of_the_directory_are_followed_once() {
    let place = Place::new();
    let lua = place.program("bin/lua5.4");
    place.files(&[
        ("app/app.lua", ""),
        ("outside/part.lua", ""),
        ("outside/deep/x.lua", ""),
    ]);
    symlink("../outside", place.at("app/out")).unwrap();
    symlink("../../app", place.at("outside/deep/back")).unwrap();
    symlink("round", place.at("app/round")).unwrap();
    symlink("round/../other", place.at("app/through")).unwrap();
    symlink(".", place.at("app/here")).unwrap();
    symlink("nowhere", place.at("app/broken")).unwrap();
    place.plan("app", &lua, &["app.lua"]).check(
        &[
            "app/out",
            "app/here",
            "app/broken",
            "outside/part.lua",
            "outside/deep/x.lua",
        ],
        &[],
    );
}

#[test]
fn caches_and_what_is_no_file_are_left_out() {
    let place = Place::new();
    let ruby = place.program("prefix/bin/ruby");
    place.files(&[
        ("app/app.rb", ""),
        ("app/.hg/store", ""),
        ("app/cache/CACHEDIR.TAG", ""),
        ("app/cache/large", ""),
        ("app/tmp/pids/server.pid", ""),
        ("app/venv/pyvenv.cfg", ""),
    ]);
    let _socket = std::os::unix::net::UnixListener::bind(place.at("app/socket")).unwrap();
    place.plan("app", &ruby, &["app.rb"]).check(
        &["app/app.rb"],
        &["app/.hg", "app/cache", "app/tmp", "app/venv", "app/socket"],
    );
}

#[test]
fn the_image_of_last_time_is_no_part_of_the_next() {
    let place = Place::new();
    let node = place.program("bin/node");
    place.files(&[
        ("app/app.js", ""),
        ("app/app.pith", ""),
        ("app/other.pith", ""),
    ]);
    place
        .plan_with("app", &node, &["app.js"], |request| BuildRequest {
            output: Some(place.at("app/app.pith")),
            ..request
        })
        .check(&["app/app.js", "app/other.pith"], &["app/app.pith"]);
}

#[test]
fn large_applications_are_told_with_their_parts() {
    let place = Place::new();
    let node = place.program("bin/node");
    place.files(&[("app/app.js", ""), ("app/models/small.bin", "")]);
    // Nobody reads these, and they take no room.
    for (name, mebibytes) in [("app/models/large.bin", 300), ("app/video/film.mp4", 50)] {
        let file = fs::File::create(place.file(name, "")).unwrap();
        file.set_len(mebibytes << 20).unwrap();
    }
    let size_note = |taken: &Taken<'_>| {
        let notes = taken.plan.notes().iter();
        let mut notes = notes.filter(|note| note.subject == "size");
        notes.next().map(ToString::to_string)
    };
    let note = size_note(&place.plan("app", &node, &["app.js"])).expect("it is large");
    let large = format!(
        "`{}` (300.0 MiB)",
        place.at("app/models/large.bin").display()
    );
    assert!(note.contains(&large), "{note}");
    fs::remove_file(place.at("app/models/large.bin")).unwrap();
    assert_eq!(size_note(&place.plan("app", &node, &["app.js"])), None);
}
