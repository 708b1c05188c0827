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
        ("prefix/share/perl5/Named/Part.pm", "use Needed;"),
        ("prefix/share/perl5/Needed.pm", ""),
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
            "prefix/share/perl5/Named/Part.pm",
            "prefix/share/perl5/Needed.pm",
            "prefix/share/perl5/ByLink.pm",
            "elsewhere/Linked.pm",
            "app/lib/Own.pm",
        ],
        &[
            "prefix/share/perl/5.36.0/pod/perl.pod",
            "prefix/share/perl5/Unneeded.pm",
        ],
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
    place
        .plan_with("", &shell, &["-ec", "tool x | launcher", "name"], with_path)
        .check(
            &["bin/tool", "bin/launcher"],
            &["app/app.sh", "bin/unneeded"],
        );
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
