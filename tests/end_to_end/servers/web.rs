//! Servers of HTTP from languages and their libraries.
//!
//! Those that are programs of ours (`tests/programs/web.*`) answer alike: `GET /hello` with a greeting, `POST /echo`
//! with what was sent.

use super::Site;
use pith_end_to_end::guest::{Guest, Recipe};
use pith_end_to_end::http::Connection;
use pith_end_to_end::workshop::Build;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Requests on one connection.
const KEPT: usize = 50;
/// Connections that are open at the same time.
const CLIENTS: usize = 8;
/// What is sent to `/echo`.
const BODY: usize = 1_000_003;
/// Size of a file.
const FILE: usize = 5 << 20;

/// What no shift of itself resembles.
fn bytes(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32)
        .map(|index| ((index ^ seed).wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn greets(address: SocketAddr) -> Result<(), String> {
    match Connection::open(address)?.get("/hello")?.as_slice() {
        b"hello from Pith\n" => Ok(()),
        other => Err(format!(
            "it greets with {:?}",
            String::from_utf8_lossy(other)
        )),
    }
}

/// Checks one of the programs.
fn program(site: &Site<'_>, recipe: &Recipe) -> Result<(), String> {
    site.serve(
        recipe,
        |guest| greets(guest.first_address()),
        |guest| {
            let address = guest.first_address();
            echoes(address)?;
            for _ in 0..10 {
                greets(address)?;
            }
            match Connection::open(address)?
                .ask("GET", "/nothing", b"")?
                .status
            {
                404 => Ok(()),
                status => Err(format!("a page that does not exist: {status}")),
            }
        },
    )?;
    Ok(())
}

/// Several clients whose connections are open at once send and receive in turns.
fn echoes(address: SocketAddr) -> Result<(), String> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Connection::open(address)?;
        client.get("/hello")?;
        clients.push(client);
    }
    let mut echo = |client: usize, length: usize, seed: u32| {
        let sent = bytes(length, seed);
        let response = clients[client].ask("POST", "/echo", &sent)?;
        match response.status == 200 && response.body == sent {
            true => Ok(()),
            false => Err(format!("the echo of {length} bytes is another")),
        }
    };
    for turn in 0..KEPT {
        echo(turn % CLIENTS, 1 + turn * 97, turn as u32)?;
    }
    echo(0, BODY, 1)
}

pub fn go(site: &Site<'_>) -> Result<(), String> {
    let server = site.workshop.program("web", Build::Go)?;
    let recipe = Recipe::new(&[&server.display().to_string()], 8080).options(&["-m", "256M"]);
    program(site, &recipe)
}

pub fn rust(site: &Site<'_>) -> Result<(), String> {
    let server = site.workshop.program("web", Build::Cargo)?;
    let recipe = Recipe::new(&[&server.display().to_string()], 8080).options(&["-m", "256M"]);
    program(site, &recipe)
}

pub fn node(site: &Site<'_>) -> Result<(), String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/web.js");
    let recipe = Recipe::new(&["/usr/bin/node", "/web.js"], 8080)
        .options(&["-m", "1G"])
        .file(format!("{script}:/web.js"))
        .message("^pith: note: node: took ");
    program(site, &recipe)
}

/// Where Debian installs Java.
const JAVA: &str = "/usr/lib/jvm/java-17-openjdk-amd64";

pub fn java(site: &Site<'_>) -> Result<(), String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/Web.java");
    let classes = site.directory().join("classes").display().to_string();
    pith_end_to_end::namespace::run(&format!("{JAVA}/bin/javac"), &["-d", &classes, source])?;
    let java = format!("{JAVA}/bin/java");
    let command = [
        &java,
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        "/classes",
        "Web",
    ];
    let recipe = Recipe::new(&command, 8080)
        .options(&["-m", "512M"])
        .file(format!("{classes}:/classes"))
        .message("^pith: note: java: took ")
        .status(&[143])
        .writes_code();
    program(site, &recipe)
}

/// The page of the matrix of runtimes, by the server that PHP has for development.
/// What `page.php` makes of the word `pith`.
const PHP_PAGE: &str = "hello from PHP and its data
GET pith 158b993c2b8d4c22e5640dc7b2910dd9b4a70cee21eebd82b2eeecc06f7266e6
";

pub fn php(site: &Site<'_>) -> Result<(), String> {
    let application = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/languages/php");
    let command = ["/usr/bin/php", "-S", "0.0.0.0:8000", "-t", "public"];
    let recipe = Recipe::new(&command, 8000)
        .options(&["-m", "256M", "-w", application])
        .message("^pith: note: php: took ");
    let lines = |guest: &Guest| {
        let page = Connection::open(guest.first_address())?.get("/page.php?word=pith")?;
        let text = String::from_utf8_lossy(&page).into_owned();
        match text == PHP_PAGE {
            true => Ok(()),
            false => Err(format!("the page is {text:?}")),
        }
    };
    site.serve(&recipe, lines, lines)?;
    Ok(())
}

/// The directory that servers of files show, and its path.
fn files(site: &Site<'_>) -> Result<String, String> {
    let root = site.directory().join("files");
    std::fs::create_dir_all(root.join("below")).map_err(|error| error.to_string())?;
    site.write("files/index.html", "<p>the first page</p>\n")?;
    site.write("files/below/one.txt", "one\n")?;
    site.write("files/below/large.bin", bytes(FILE, 5))?;
    Ok(root.display().to_string())
}

/// Checks a server of these files.
fn serves_files(guest: &Guest) -> Result<(), String> {
    let ask = |path: &str| Connection::open(guest.first_address())?.ask("GET", path, b"");
    let first = ask("/")?;
    if first.body != b"<p>the first page</p>\n" {
        return Err(format!("the first page: {first:?}"));
    }
    let list = ask("/below/")?;
    let text = String::from_utf8_lossy(&list.body).into_owned();
    if !(text.contains("one.txt") && text.contains("large.bin")) {
        return Err(format!("the list of files: {text}"));
    }
    if ask("/below/large.bin")?.body != bytes(FILE, 5) {
        return Err("the large file is another".into());
    }
    for _ in 0..20 {
        if ask("/below/one.txt")?.body != b"one\n" {
            return Err("the small file is another".into());
        }
    }
    match ask("/nothing")?.status {
        404 => Ok(()),
        status => Err(format!("a page that does not exist: {status}")),
    }
}

fn first_page(guest: &Guest) -> Result<(), String> {
    Connection::open(guest.first_address())?.get("/").map(drop)
}

pub fn lighttpd(site: &Site<'_>) -> Result<(), String> {
    let configuration = site.write(
        "lighttpd.conf",
        "server.modules = (\"mod_dirlisting\")\n\
         server.document-root = \"/srv\"\n\
         server.port = 80\n\
         server.errorlog = \"/dev/stderr\"\n\
         index-file.names = (\"index.html\")\n\
         dir-listing.activate = \"enable\"\n",
    )?;
    let command = [
        "/usr/sbin/lighttpd",
        "-D",
        "-f",
        "/etc/lighttpd/lighttpd.conf",
    ];
    let recipe = Recipe::new(&command, 80)
        .options(&["-m", "256M"])
        .file(format!("{configuration}:/etc/lighttpd/lighttpd.conf"))
        .file(format!("{}:/srv", files(site)?))
        .file("/usr/lib/lighttpd/mod_dirlisting.so")
        // As on Linux: 1 if a connection is still open.
        .status(&[0, 1]);
    site.serve(&recipe, first_page, serves_files)?;
    Ok(())
}

/// A program of Python's, which finds its library by itself.
fn python(command: &[&str], port: u16) -> Recipe {
    Recipe::new(&[&["/usr/bin/python3"], command].concat(), port)
        .options(&["-m", "256M"])
        .message("^pith: note: python: took the standard library")
        .message("^pith: note: python: left out installed packages")
}

pub fn python_http_server(site: &Site<'_>) -> Result<(), String> {
    let recipe = python(&["-m", "http.server", "-d", "/srv", "8000"], 8000)
        .file(format!("{}:/srv", files(site)?));
    site.serve(&recipe, first_page, serves_files)?;
    Ok(())
}

/// A server of lines, which sends each back turned round.
pub fn python_asyncio(site: &Site<'_>) -> Result<(), String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/lines.py");
    let recipe = python(&["/lines.py"], 8000).file(format!("{script}:/lines.py"));
    let open = |guest: &Guest| {
        let stream = TcpStream::connect(guest.first_address())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    };
    let ask = |client: &mut BufReader<TcpStream>, line: &str| {
        client.get_mut().write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        client.read_line(&mut answer)?;
        let expected: String = line.chars().rev().chain(['\n']).collect();
        match answer == expected {
            true => Ok(()),
            false => Err(std::io::Error::other(format!(
                "{line:?} came back as {answer:?}"
            ))),
        }
    };
    let text = |error: std::io::Error| error.to_string();
    site.serve(
        &recipe,
        |guest| {
            open(guest)
                .and_then(|mut client| ask(&mut client, "are you there"))
                .map_err(text)
        },
        |guest| {
            let mut clients = Vec::new();
            for number in 0..CLIENTS {
                let mut client = open(guest).map_err(text)?;
                ask(&mut client, &format!("first of {number}")).map_err(text)?;
                clients.push(client);
            }
            for turn in 0..KEPT {
                let line = "long".repeat(1 + turn * 31);
                ask(&mut clients[turn % CLIENTS], &line).map_err(text)?;
            }
            Ok(())
        },
    )?;
    Ok(())
}
